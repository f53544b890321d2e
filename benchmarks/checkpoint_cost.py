"""What it costs to save a run: the time that training loses with a checkpoint, its size, and how long a resume reads.

    bash bin/environment/launch benchmarks/checkpoint_cost.py [--rounds=12] [--folder=DISK]

A turn is a few training steps, with a checkpoint behind the first or without, in alternating order; what the median turn is
longer is the cost of one checkpoint, disk and all that goes on beside included. With one each minute training loses that
share of it. The models are trained as `bin/train` does, with momentum. --folder is on the disk that is meant.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags
from lock import exclusive

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import table
from keras_imgcls.models import classifier
from keras_imgcls.training import checkpoint
from keras_imgcls.training.acceleration import accelerate
from keras_imgcls.training.learner import Learner

ROUNDS = flags.DEFINE_integer("rounds", 12, "Turns of each kind.")
FOLDER = flags.DEFINE_string("folder", "", "Where checkpoints go. Empty: the folder for temporary files.")
# Model, image size, classes, batch, steps of a turn: about four seconds on two cores.
CASES = (("resnet50", 224, 1000, 8, 3), ("resnet20", 32, 10, 128, 40))
COLUMNS = ("model", "MB", "a checkpoint costs", "each minute", "resume reads", "turns of each")
TARGET = 0.01


def main(_) -> None:
    """Prints a row for each model, and whether the target is reached."""
    with exclusive(), tempfile.TemporaryDirectory(dir=FOLDER.value or None) as folder:
        rows, shares = zip(*(measure(*case, Path(folder) / case[0]) for case in CASES), strict=True)
    print(f"{os.cpu_count()} cores; TensorFlow {tf.__version__}\n")
    print(table(COLUMNS, rows))
    for (model, *_), share in zip(CASES, shares, strict=True):
        verdict = "reached" if share < TARGET else "MISSED"
        print(f"{model}: {share:.2%} with a checkpoint each minute; the target, under {TARGET:.0%}, is {verdict}")


def measure(name: str, size: int, classes: int, batch: int, steps: int, folder: Path) -> tuple[list[str], float]:
    """A row of the table, and the share of a minute that a checkpoint takes."""
    folder.mkdir()
    learner, train = trainer(name, size, classes, batch)
    for _ in range(3):
        train()
    turns: dict[bool, list[float]] = {True: [], False: []}
    saved = 0
    for turn in range(ROUNDS.value):
        for saves in (True, False) if turn % 2 else (False, True):
            began = time.perf_counter()
            train()
            if saves:
                saved += 1
                checkpoint.save(folder, saved, learner.state, {"epoch": 0})
            for _ in range(steps - 1):
                train()
            turns[saves].append(time.perf_counter() - began)
        print(f"{name}: turn {turn + 1} of {ROUNDS.value}", file=sys.stderr, flush=True)
    differences = [long - short for long, short in zip(turns[True], turns[False], strict=True)]
    cost, low, high = interval(differences)
    began = time.perf_counter()
    checkpoint.load(folder).restore(learner.state)
    read = time.perf_counter() - began
    megabytes = max(path.stat().st_size for path in folder.iterdir()) / 1e6
    told = f"{cost:.2f} s ({low:.2f} to {high:.2f})"
    row = [name, f"{megabytes:.1f}", told, f"{cost / 60:.2%}", f"{read:.2f} s", str(ROUNDS.value)]
    return row, cost / 60


def trainer(name: str, size: int, classes: int, batch: int):
    """A learner and its step over one random batch."""
    options = TrainConfig(
        learning_rate=1e-3, schedule="constant", epochs=1, mixed_precision="float32", xla="off", steps_per_execution=1
    )
    model = classifier.build(name, (size, size, 3), classes)
    learner = Learner(accelerate(model, "float32"), options, total_steps=1)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    labels = np.eye(classes, dtype=np.float32)[draw.integers(0, classes, batch)]
    iterator = iter(tf.data.Dataset.from_tensors(((images, labels, np.arange(batch)), np.float64(0))).repeat())
    learner.make_train_function()
    return learner, lambda: float(learner.train_function(iterator)["loss"])


def interval(differences: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval (bootstrap)."""
    values = np.array(differences)
    picks = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(np.median(values[picks], axis=1), [2.5, 97.5])
    return statistics.median(differences), low, high


if __name__ == "__main__":
    app.run(main)
