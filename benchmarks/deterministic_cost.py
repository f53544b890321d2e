"""What `--deterministic` costs: training speed with and without it, of the same flags in the same precision.

    bash bin/environment/launch benchmarks/deterministic_cost.py [--rounds=12] [--seconds=3]

Bit-equal operations are a switch of a whole process, so that each contestant is a process of its own, which waits while
the others take their turn, in alternating order. Each trains resnet20 on random images of 32 px through the pipeline of
`bin/train`, augmentation included. Ratios within a round, their median and range.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import turns
from absl import app, flags
from lock import exclusive

ROUNDS = flags.DEFINE_integer("rounds", 12, "How often each takes its turn.")
SECONDS = flags.DEFINE_float("seconds", 3.0, "How long a turn is.")
WORKER = flags.DEFINE_string("worker", "", "PRECISION or PRECISION,deterministic: be one of the contestants.")
IMAGES, BATCH, SIZE, CLASSES = 8192, 128, 32, 10


def main(_) -> None:
    """Prints a table: speeds, and the ratio in each precision."""
    if WORKER.value:
        work(*WORKER.value.split(","))
        return
    from keras_imgcls.training.acceleration import available_precisions

    precisions = [name for name in available_precisions() if name != "mixed_float16"]
    with exclusive():
        workers = {
            name + way: turns.start(__file__, name + way, SECONDS.value)
            for name in precisions
            for way in ("", ",deterministic")
        }
        speeds = {name: [] for name in workers}
        for turn in range(ROUNDS.value + 1):
            for name in list(workers)[:: 1 if turn % 2 else -1]:
                speeds[name] += turns.take(workers[name])
        for worker in workers.values():
            turns.end(worker)
    print("| precision | images/s | with --deterministic | ratio (range over rounds) |\n|---|---|---|---|")
    for name in precisions:
        free, fixed = (np.array(speeds[name + way][1:]) for way in ("", ",deterministic"))  # the first turn warms up
        ratios = fixed / free
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        print(f"| {name} | {np.median(free):,.0f} | {np.median(fixed):,.0f} | {spread} |")


def work(precision: str, deterministic: str = "") -> None:
    """Trains for a turn at each line of standard input, and prints the speed."""
    import keras_imgcls
    from keras_imgcls.core.config import TrainConfig
    from keras_imgcls.data.manifest import Manifest, one_hot
    from keras_imgcls.data.samples import Samples
    from keras_imgcls.experiment import prepare
    from keras_imgcls.training.acceleration import accelerate
    from keras_imgcls.training.feed import timed
    from keras_imgcls.training.learner import Learner

    @keras_imgcls.register_dataset
    def noise(data_options, seed):
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
        sources, splits = np.array([f"{row:05}" for row in range(IMAGES)]), np.full(IMAGES, "train")
        names = tuple(f"class {name}" for name in range(CLASSES))
        return Samples("noise", Manifest(sources, one_hot(np.arange(IMAGES) % CLASSES, CLASSES), splits, names), images)

    config = TrainConfig(
        dataset="noise", model="resnet20", batch_size=BATCH, mixed_precision=precision, augment="pad_crop(4)|flip",
        learning_rate=0.01, deterministic=bool(deterministic), mirror_images="on", steps_per_execution=1,
        validation_fraction=0.0, early_stopping=0,
    )  # fmt: skip
    ready = prepare.prepare(config)
    learner = Learner(accelerate(ready.model, precision), ready.config, 10**6, None, ready.augment)
    learner.make_train_function()
    steps = forever(ready.feed, timed)
    learner.train_function(steps)

    def turn():
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS.value:
            learner.train_function(steps)["loss"].numpy()
            done += 1
        return [done * BATCH / (time.perf_counter() - began)]

    turns.serve(turn)


def forever(feed, timed):
    """Batches of one epoch after another."""
    epochs = [timed(feed.batches(epoch, 0)) for epoch in range(20)]
    whole = epochs[0]
    for epoch in epochs[1:]:
        whole = whole.concatenate(epoch)
    return iter(whole.repeat())


if __name__ == "__main__":
    app.run(main)
