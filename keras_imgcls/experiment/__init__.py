"""One whole experiment, from a dataset to a run with its numbers: what `train` is from the command line and from Python."""
