"""What benchmarks that train have in common: rows that stay, runs that go on, five minutes of CIFAR-10.

A finished run is a row, a line of NAME.jsonl; a table in RESULTS.md is made of the rows. A driver that was killed goes on where
it was, in the middle of a run too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from keras_imgcls.core import files, signals
from keras_imgcls.core.run import Run

HERE = Path(__file__).parent
SPEEDS, RESULTS = HERE / "families.json", HERE / "RESULTS.md"
MINUTES, BATCH, TRAINING_IMAGES = 5, 128, 45_000
RECIPE = {
    "dataset": "cifar10",
    "batch_size": BATCH,
    "augment": "pad_crop(4)|flip",
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "weight_decay": 0.05,
    "schedule": "warmup_cosine(warmup=0.1)",
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
}


class Rows:
    """The rows of a benchmark and its table."""

    def __init__(self, name: str, folder: str = "") -> None:
        """Of `NAME.jsonl`, and the table between the marks of that name in RESULTS.md, here or in another folder."""
        self.path, self.results = Path(folder or HERE) / f"{name}.jsonl", Path(folder or HERE) / RESULTS.name
        self._begin, self._end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"

    def read(self) -> list[dict]:
        """The rows as they were appended."""
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.is_file() else []

    def append(self, row: dict) -> None:
        """Adds a row, or nothing at all."""
        files.write_text(self.path, "".join(f"{json.dumps(each)}\n" for each in (*self.read(), row)))

    def show(self, lines: list[str]) -> None:
        """Puts the lines of the table into RESULTS.md."""
        before, _, rest = self.results.read_text(encoding="utf-8").partition(self._begin)
        after = rest.partition(self._end)[2]
        files.write_text(self.results, "\n".join([f"{before}{self._begin}", *lines, f"{self._end}{after}"]))


def train(title: str, run: Run, given: dict) -> bool:
    """Trains `run` with the flags `given`, from where it was left; whether that went well.

    SIGTERM and Ctrl-C are passed on: the run is saved before this process ends.
    """
    flagged = ["--resume"] if run.flags.is_file() else [f"--{flag}={value}" for flag, value in given.items()]
    command = [sys.executable, "-m", "keras_imgcls", "train", f"--run_dir={run.path}", *flagged]
    print(f"\n{title}: {' '.join(command[1:])}", flush=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    signals.obey()
    # A session of its own: a terminal's Ctrl-C would reach it too, and a second signal ends it at once.
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            return process.wait() == 0
        except signals.Interrupted as interruption:
            process.terminate()
            process.wait()
            sys.exit(interruption.code)


def five_minutes(model: str) -> dict:
    """The flags of a training of five minutes: precision, and as many whole epochs as they hold at the measured speed."""
    networks = json.loads(SPEEDS.read_text())["networks"] if SPEEDS.is_file() else {}
    if model not in networks:
        sys.exit(f"The speed of {model} is not known: run families.py --measure first, on a quiet machine.")
    precision = networks[model]["precision"]
    speed = networks[model]["images_per_second"][precision]
    epochs = max(1, int(MINUTES * 60 * speed / TRAINING_IMAGES))
    return RECIPE | {"model": model, "epochs": epochs, "mixed_precision": precision}
