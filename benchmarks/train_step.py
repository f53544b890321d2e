"""Speed of a training step: our learner over its training view against Keras' own `compile` and train function.

    python benchmarks/train_step.py [--rounds=12] [--steps=4] [--model=resnet20]

The same network with the same weights, batch (256 images of 32 px) and optimizer (SGD, Nesterov), in float32 and in
bfloat16 where the processor has it; both count loss and accuracy. All take turns in every round, in alternating order.
Printed are the losses of the first steps, which have to agree, the median speeds, and how much faster our best is than
the best of Keras, with a 95 % interval (bootstrap over rounds).
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from lock import exclusive

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.models import classifier
from keras_imgcls.training.acceleration import accelerate, available_precisions
from keras_imgcls.training.learner import Learner

ROUNDS = flags.DEFINE_integer("rounds", 12, "How often each takes its turn.")
STEPS = flags.DEFINE_integer("steps", 4, "Training steps in a turn.")
MODEL = flags.DEFINE_string("model", "resnet20", "A model by name.")
BATCH, SIZE, CLASSES = 256, 32, 10
LEARNING_RATE, MOMENTUM = 0.01, 0.9


def main(_) -> None:
    """Prints the machine, the first losses, the speeds and the ratio."""
    precisions = [name for name in available_precisions() if name != "mixed_float16"]
    plain = classifier.build(MODEL.value, (SIZE, SIZE, 3), CLASSES)
    contestants = {f"ours {name}": our_step(copy_of(plain), name) for name in precisions}
    contestants |= {f"keras {name}": keras_step(copy_of(plain, name)) for name in precisions}
    print(machine())
    with exclusive():
        for name, step in contestants.items():
            losses = [step() for _ in range(3)]
            print(f"{name:<22} first losses " + " ".join(f"{loss:.4f}" for loss in losses))
        speeds = race(contestants)
    for name, values in speeds.items():
        print(f"{name:<22} {np.median(values):7.0f} images/s  ({min(values):.0f} to {max(values):.0f})")
    print(summary(speeds))


def copy_of(model: keras.Model, precision: str = "float32") -> keras.Model:
    """`model` as a user of stock Keras would build it under a precision, its head in float32; weights copied."""

    def rebuild(layer):
        if not isinstance(layer, keras.Layer):
            return layer
        dtype = "float32" if layer.name == "logits" else precision
        return type(layer).from_config(layer.get_config() | {"dtype": dtype})

    copy = keras.models.clone_model(model, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy


def our_step(model: keras.Model, precision: str) -> Callable[[], float]:
    """A step of our learner; returns the running mean of the loss."""
    options = TrainConfig(
        learning_rate=LEARNING_RATE, momentum=MOMENTUM, schedule="constant", weight_decay=0.0, epochs=1,
        mixed_precision=precision, xla="off", steps_per_execution=1,
    )  # fmt: skip
    learner = Learner(accelerate(model, precision), options, total_steps=1)
    images, labels = batch()
    return step_of(learner, ((images, labels, np.arange(BATCH)), np.float64(0)))


def keras_step(model: keras.Model) -> Callable[[], float]:
    """A step as `fit` makes it."""
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM, nesterov=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return step_of(model, batch())


def step_of(model: keras.Model, data) -> Callable[[], float]:
    """The compiled train function of `model`, fed with one batch over and over."""
    iterator = iter(tf.data.Dataset.from_tensors(data).repeat())
    model.make_train_function()
    return lambda: float(model.train_function(iterator)["loss"])


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Random images (uint8) and labels."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    return images, np.eye(CLASSES, dtype=np.float32)[draw.integers(0, CLASSES, BATCH)]


def race(contestants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Images/s of each in each round."""
    speeds = {name: [] for name in contestants}
    for turn in range(ROUNDS.value):
        for name in list(contestants)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            for _ in range(STEPS.value):
                contestants[name]()
            speeds[name].append(STEPS.value * BATCH / (time.perf_counter() - began))
    return speeds


def summary(speeds: dict[str, list[float]]) -> str:
    """Our best against the best of Keras: the ratio of medians."""
    best = {
        side: max((name for name in speeds if name.startswith(side)), key=lambda name: np.median(speeds[name]))
        for side in ("ours", "keras")
    }
    ours, theirs = (np.array(speeds[name]) for name in best.values())
    picks = np.random.default_rng(0).integers(0, len(ours), (2000, len(ours)))
    ratios = np.median(ours[picks], axis=1) / np.median(theirs[picks], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    ratio = np.median(ours) / np.median(theirs)
    return f"{best['ours']} is {ratio:.2f} times as fast as {best['keras']} (95 % interval {low:.2f} to {high:.2f})"


def machine() -> str:
    """The processor and the versions."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return (
        f"{MODEL.value}, batch {BATCH}, {SIZE} px; {os.cpu_count()} cores of {processor}; "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}; {ROUNDS.value} rounds of {STEPS.value} steps"
    )


if __name__ == "__main__":
    app.run(main)
