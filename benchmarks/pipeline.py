"""Training images per second out of the pipeline, with shifts and flips: ours against the layers of Keras.

    bash bin/environment/launch benchmarks/pipeline.py [--rounds=7]

Store, gather, augment, batch, on random pixels in RAM; nothing trains meanwhile. Store and order are the same for all,
so that only the augmentation differs. A round runs each case once; shown are medians over the rounds, with the smallest
and the largest. Ratios are taken within a round.

keras.layers.RandomCrop draws one offset for a whole batch, RandomTranslation one for each image, as ours does.
"""

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from lock import exclusive

from keras_imgcls.augment import sequence
from keras_imgcls.core.config import DataOptions
from keras_imgcls.data import order, pipeline
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.samples import Samples
from keras_imgcls.data.store import open_store

ROUNDS = flags.DEFINE_integer("rounds", 7, "Runs of each case.")
SIZES = ((32, 512, 50_000), (224, 64, 1_536))  # pixels, batch, images in a round
OURS = "ours: pad_crop|flip"


def main(_) -> None:
    """Prints a table for each size."""
    with exclusive():
        print(f"{os.cpu_count()} cores, TensorFlow {tf.__version__}, Keras {keras.__version__}, {ROUNDS.value} rounds")
        for size, batch, count in SIZES:
            samples = random_samples(size, count)
            store = open_store(samples, DataOptions(cache="ram"), size, 3)
            augmentations = cases(size)
            rates = {name: [] for name in augmentations}
            for number in range(ROUNDS.value + 1):
                for name, augment in augmentations.items():
                    rate = images_per_second(samples, store, augment, batch, number)
                    if number:  # the first round traces
                        rates[name].append(rate)
            report(f"{size} px, batch {batch}", rates)


def cases(size: int) -> dict[str, Callable | None]:
    """What is compared, by name."""
    pad = size // 8
    flip = keras.layers.RandomFlip("horizontal")
    translation = keras.layers.RandomTranslation(1 / 8, 1 / 8, fill_mode="reflect", interpolation="nearest")
    padding, crop = keras.layers.ZeroPadding2D(pad), keras.layers.RandomCrop(size, size)
    return {
        "no augmentation": None,
        OURS: sequence.build(f"pad_crop({pad})|flip", 0),
        "ours: pad_crop|flip|cutout": sequence.build(f"pad_crop({pad})|flip|cutout({size // 4})", 0),
        "Keras: RandomFlip": layers(flip),
        "Keras: RandomTranslation, RandomFlip": layers(translation, flip),
        "Keras: ZeroPadding2D, RandomCrop, RandomFlip": layers(padding, crop, flip),
    }


def layers(*chain: keras.Layer) -> Callable:
    """Layers of Keras in the form of our augmentations."""

    def augment(images, labels, ids, epoch):
        for layer in chain:
            images = layer(images, training=True)
        return images, labels

    return augment


def random_samples(size: int, count: int) -> Samples:
    """Random pixels: their values change no speed here."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    names = np.array([f"random[{index:06}]" for index in range(count)])
    labels = one_hot(generator.integers(0, 10, count), 10)
    return Samples("random", Manifest(names, labels, np.full(count, "train"), tuple("abcdefghij")), images)


def images_per_second(samples: Samples, store, augment: Callable | None, batch: int, epoch: int) -> float:
    """The rate of one epoch, from the making of its dataset to its last batch."""
    began = time.perf_counter()
    ids = order.epoch_order(samples.manifest.ids("train"), 0, epoch)
    for _ in pipeline.batches(store, samples.manifest, ids, batch, augment, epoch, drop_remainder=True):
        pass
    return len(ids) // batch * batch / (time.perf_counter() - began)


def report(title: str, rates: dict[str, list[float]]) -> None:
    """One line for each case: images/s, and how many times as fast ours is."""
    print(f"\n{title:<46} {'images/s (smallest to largest)':>34}   ours is")
    for name, values in rates.items():
        ratio = statistics.median(ours / other for ours, other in zip(rates[OURS], values, strict=True))
        spread = f"{statistics.median(values):>10,.0f} ({min(values):,.0f} to {max(values):,.0f})"
        print(f"{name:<46} {spread:>34}   {ratio:.2f} x")


if __name__ == "__main__":
    app.run(main)
