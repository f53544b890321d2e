"""A run directory as training leaves it, made in a second: digits of 8 x 8 pixels, a small network, not trained."""

import json

import keras
import numpy as np

from keras_imgcls.core import options
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.run import Run, create

NAMES = tuple(f"digit {index}" for index in range(10))


def make_model(shape=(8, 8, 1), classes=10):
    """Pixels 0-255 to logits. Weights are large, so that different images get clearly different answers."""
    keras.utils.set_random_seed(3)
    image = keras.Input(shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = keras.layers.Conv2D(12, 3, use_bias=False, name="stem")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(0.5)(x)
    logits = keras.layers.Dense(classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.4), name="logits")(
        x
    )
    return keras.Model(image, logits)


def make_run(path, model=None, names=NAMES, **options_of_run) -> Run:
    """A finished run over digits at `path`."""
    defaults = {"dataset": "digits", "image_size": 8, "channels": 1, "mixed_precision": "float32"}
    config = TrainConfig(**{**defaults, **options_of_run})
    run = create(path)
    run.flags.write_text(options.write_flagfile(config))
    run.write_class_names(names)
    run.metrics.write_text(json.dumps({"training": {"epochs": 1}}))
    (model or make_model()).save(run.model)
    return run


def digits(count, seed=0):
    """Random images, uint8 of shape (count, 8, 8, 1)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), np.uint8)
