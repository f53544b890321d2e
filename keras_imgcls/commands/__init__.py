"""One file per verb: read options, call the rooms, write files. `USAGE`, `CONFIG` and `run(config) -> exit code`."""
