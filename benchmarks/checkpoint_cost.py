"""What checkpoints cost: training speed with one a minute against none, and size and time of a save and of a resume.

    bash bin/environment/launch benchmarks/checkpoint_cost.py [--minutes=4] [--model=…] [--folder=DISK]

The loop of `bin/train` trains one model on random images, and saves before every second block of steps: in turns a block
begins with a save that a thread writes (as in every run), has none, begins with one that training waits for, has none. A
block with a save less the block behind it is what that save costs; once a minute, that is so much of a minute. Medians
over the turns, with a 95 % interval (bootstrap). --folder is on the disk that is meant.
"""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from lock import exclusive

from keras_imgcls.core import phases
from keras_imgcls.core import run as run_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.models import classifier
from keras_imgcls.training import checkpoint
from keras_imgcls.training.acceleration import accelerate, available_precisions
from keras_imgcls.training.feed import Feed
from keras_imgcls.training.keeper import Keeper
from keras_imgcls.training.learner import Learner
from keras_imgcls.training.loop import Loop, Position
from keras_imgcls.training.stage import Stage

MINUTES = flags.DEFINE_float("minutes", 4.0, "How long to train.", lower_bound=0.1)
STEPS = flags.DEFINE_integer("steps", 6, "Training steps in a block; a save has to be written within them.", 2)
MODEL = flags.DEFINE_string("model", "resnet50(stem='imagenet')", "A model by name.")
FOLDER = flags.DEFINE_string("folder", "", "Where checkpoints go. Empty: the folder for temporary files.")
BATCH, SIZE, CLASSES, ENDLESS = 32, 64, 1000, 10**6
WAYS = ("written by a thread", "written in the training thread")
HEADER = ("checkpoint a minute", "a save costs", "95 % interval", "training speed against none", "turns")


class Enough(Exception):
    """The time is over."""


class InTurns(Keeper):
    """A keeper whose every other checkpoint is written before training goes on."""

    saves = 0

    def checkpoint(self, step: int, position: Position) -> None:
        """Saves."""
        super().checkpoint(step, position)
        if self.saves % 2:
            self.settle()
        self.saves += 1


class Clock(keras.callbacks.Callback):
    """The times at which blocks of steps end, the first save being due at the first of them; four blocks are a turn."""

    def __init__(self) -> None:
        """Two blocks warm up."""
        super().__init__()
        self.times: list[float] = []
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None) -> None:
        """A save that is due follows upon this call."""
        self._steps += 1
        if self._steps % STEPS.value or self._steps < 2 * STEPS.value:
            return
        self.times.append(time.perf_counter())
        if len(self.times) % 4 == 1 and self.times[-1] - self.times[0] > 60 * MINUTES.value:
            raise Enough


def main(_) -> None:
    """Prints the machine and two tables."""
    precision = "mixed_bfloat16" if "mixed_bfloat16" in available_precisions() else "float32"
    config = TrainConfig(
        optimizer="sgd", learning_rate=0.01, schedule="constant", epochs=1, mixed_precision=precision, xla="off",
        steps_per_execution=1, batch_size=BATCH, checkpoint_every=str(2 * STEPS.value),
    )  # fmt: skip
    model = classifier.build(MODEL.value, (SIZE, SIZE, 3), CLASSES)
    learner = Learner(accelerate(model, precision), config, total_steps=ENDLESS)
    print(machine(precision), flush=True)
    with exclusive(), tempfile.TemporaryDirectory(dir=FOLDER.value or None) as folder:
        run = run_module.create(Path(folder) / "run")
        print(costs(trained(model, learner, config, run)))
        print("\n" + save_and_resume(learner, run.path / "alone"))


def trained(model: keras.Model, learner: Learner, config: TrainConfig, run: run_module.Run) -> np.ndarray:
    """Trains until the time is over; the seconds of the blocks."""
    keeper, clock = InTurns(model, run), Clock()
    feed = Feed(lambda epoch, first: batches(), ENDLESS, ENDLESS * BATCH, (SIZE, SIZE, 3), CLASSES)
    stage = Stage(phases.parse("none", "", 1)[0], learner, feed, config, dict)
    try:
        Loop(lambda epoch: stage, config, keeper, [clock]).run()
    except Enough:
        keeper.settle()
    return np.diff(clock.times)


def batches() -> tf.data.Dataset:
    """The same random images (uint8), labels and ids over and over."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[draw.integers(0, CLASSES, BATCH)]
    return tf.data.Dataset.from_tensors((images, labels, np.arange(BATCH))).repeat()


def costs(seconds: np.ndarray) -> str:
    """What a save of each way costs."""
    turns = seconds.reshape(-1, 4)
    rows = []
    for way, extra in zip(WAYS, (turns[:, 0] - turns[:, 1], turns[:, 2] - turns[:, 3]), strict=True):
        picks = np.random.default_rng(0).integers(0, len(extra), (2000, len(extra)))
        low, high = np.percentile(np.median(extra[picks], axis=1), [2.5, 97.5])
        middle = float(np.median(extra))
        rows.append((way, f"{middle:.2f} s", f"{low:.2f} to {high:.2f} s", f"{60 / (60 + middle):.2%}", len(extra)))
    plain = np.median(turns[:, [1, 3]])
    return markdown(HEADER, rows) + f"\n\nA block of {STEPS.value} steps without a save: {plain:.2f} s."


def save_and_resume(learner: Learner, folder: Path) -> str:
    """Size and time of a save and of a resume, with nothing beside it; medians of five."""
    names, parts = ("snapshot", "write", "load", "restore"), []
    for step in range(5):
        began = [time.perf_counter()]
        arrays = checkpoint.snapshot(step, learner.state)
        began.append(time.perf_counter())
        checkpoint.write(folder, step, arrays, {})
        began.append(time.perf_counter())
        stored = checkpoint.load(folder)
        began.append(time.perf_counter())
        stored.restore(learner.state)
        parts.append(np.diff([*began, time.perf_counter()]))
    size = max(path.stat().st_size for path in folder.glob("*.npz"))
    times = [f"{statistics.median(column):.2f} s" for column in zip(*parts, strict=True)]
    return markdown(("model", "size", *names), [(MODEL.value, f"{size / 2**20:,.0f} MiB", *times)])


def markdown(header: tuple, rows: list[tuple]) -> str:
    """A table for RESULTS.md."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, ["---"] * len(header), *rows))


def machine(precision: str) -> str:
    """The processor, the versions and the training."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return (
        f"{MODEL.value}, {CLASSES} classes, SGD with momentum, {precision}, batch {BATCH}, {SIZE} px; {os.cpu_count()} cores "
        f"of {names[0] if names else platform.processor()}; TensorFlow {tf.__version__}, Keras {keras.__version__}\n"
    )


if __name__ == "__main__":
    app.run(main)
