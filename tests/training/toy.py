"""A network and batches that train in a second."""

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.training.feed import Feed


def make_model(dropout=0.0):
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    x = keras.layers.Conv2D(8, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, seed=0)(x)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x))


def make_staged(dropout=0.3):
    """The same with landmarks, a normalisation and a dropout in each stage."""
    x = image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scaling")(x)
    for number, name in enumerate(("stem", "stage1", "stage2")):
        x = keras.layers.Conv2D(6, 3, name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.5, name=f"{name}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.Dropout(dropout, seed=number, name=f"{name}_drop")(x)
        x = keras.layers.Identity(name=name)(x)
    x = keras.layers.Identity(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="staged")


def make_feed(count=64, batch_size=8):
    """Three classes that a few steps tell apart: dark, grey and bright noise; the order is a function of the epoch."""
    draw = np.random.default_rng(0)
    classes = draw.integers(0, 3, count)
    images = np.clip(classes[:, None, None, None] * 90 + draw.integers(0, 60, (count, 8, 8, 1)), 0, 255).astype(
        np.uint8
    )
    labels = np.eye(3, dtype=np.float32)[classes]

    def batches(epoch, first_step):
        ids = np.random.default_rng(epoch).permutation(count)[first_step * batch_size :]
        return tf.data.Dataset.from_tensor_slices((images[ids], labels[ids], ids)).batch(
            batch_size, drop_remainder=True
        )

    def view(number):
        """Brighter by `number` grey levels, so that views differ."""
        return tf.data.Dataset.from_tensor_slices((np.clip(images + number, 0, 255), labels, np.arange(count))).batch(
            20
        )

    def order(epoch):
        return np.random.default_rng(epoch).permutation(count)

    steps = count // batch_size
    return Feed(batches, steps, steps * batch_size, (8, 8, 1), 3, view=view, order=order)


def make_config(**changes):
    settled = {"mixed_precision": "float32", "xla": "off", "steps_per_execution": 1, "weight_decay": 0.0, "epochs": 2}
    return TrainConfig(dataset="digits", **{**settled, **changes})
