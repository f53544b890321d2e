"""How long a user waits: for `--help`, for an error, and from the command to the first training step.

    python benchmarks/startup.py [--rounds=5]

Whole processes, through the launcher; medians with the smallest and largest of the rounds. The environment is set up first.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags
from lock import exclusive

ROUNDS = flags.DEFINE_integer("rounds", 5, "Runs of each command.")
LAUNCHER = Path(__file__).parents[1] / "bin" / "train"


def main(_) -> None:
    """Prints one line for each command."""
    with exclusive(), tempfile.TemporaryDirectory() as folder:
        _seconds(["--help"], folder)
        cases = {
            "--help": lambda: _seconds(["--help"], folder),
            "a misspelt model": lambda: _seconds(["--dataset=digits", "--model=resnt20"], folder, expected=1),
            "first epoch line of digits.flags": lambda: _first_epoch(folder),
        }
        results = {name: [] for name in cases}
        for _ in range(ROUNDS.value):
            for name, case in cases.items():
                results[name].append(case())
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {ROUNDS.value} rounds")
    for name, seconds in results.items():
        print(f"{name:<36} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")


def _seconds(arguments: list[str], folder: str, expected: int = 0) -> float:
    began = time.perf_counter()
    finished = subprocess.run([LAUNCHER, *arguments], cwd=folder, capture_output=True, text=True)
    if finished.returncode != expected:
        raise RuntimeError(finished.stderr)
    return time.perf_counter() - began


def _first_epoch(folder: str) -> float:
    """Seconds from the command to the line of the first epoch, which needs one pass over 1,294 images."""
    began = time.perf_counter()
    arguments = [LAUNCHER, "--flagfile=digits.flags", "--epochs=1", f"--run_dir={folder}/run", "--overwrite"]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch 1/1"):
                seconds = time.perf_counter() - began
    return seconds


if __name__ == "__main__":
    app.run(main)
