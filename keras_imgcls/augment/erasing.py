"""Erasing: parts of an image are replaced, so that no single part can decide the class."""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment.fill import Colour, colour
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.core.arguments import Whole
from keras_imgcls.core.registry import AUGMENTATIONS


@AUGMENTATIONS.register(identity={"size": 0})
def cutout(images: tf.Tensor, draws: Draws, size: Annotated[int, Whole(0, 4096)] = 8, fill: Colour = 128) -> tf.Tensor:
    """A square of `size` pixels around a random pixel is filled; it may hang over the border (DeVries & Taylor 2017).

    The paper fills with what is zero after scaling, the mean colour of the dataset. Pixels are scaled in the model, so
    that the colour is stated here: 128 is within 14 levels of CIFAR-10's mean, which is (125, 123, 114).
    """
    _, height, width, _ = images.shape
    centre = draws.integers(0, (height - 1, width - 1), 2)
    top, left = tf.split(centre - size // 2, 2, axis=1)
    return erase(images, _between(top, size, height), _between(left, size, width), fill)


def erase(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, fill: Colour) -> tf.Tensor:
    """`images` with the pixels filled that lie in both `rows` (bool, batch x height) and `columns` (batch x width)."""
    _, height, width, channels = images.shape
    # Rows of bytes: a select that has to broadcast over channels of three bytes is four times slower.
    lines = tf.reshape(images, [-1, height, width * channels])
    inside = tf.expand_dims(rows, 2) & tf.expand_dims(tf.repeat(columns, channels, axis=1), 1)
    filled = tf.where(inside, np.tile(colour(fill, channels), width), lines)
    return tf.reshape(filled, [-1, height, width, channels])


def _between(first: tf.Tensor, length: int, size: int) -> tf.Tensor:
    """Which of `size` places lie in the `length` ones from `first` (int32, batch x 1) on: bool, batch x size."""
    places = np.arange(size, dtype=np.int32)
    return (places >= first) & (places < first + length)
