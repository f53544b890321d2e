"""Erasing: parts of an image are replaced, so that no single part can decide the class."""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment.fill import Colour, colour
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.core.arguments import Number, Several, Whole
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


@AUGMENTATIONS.register(identity={"probability": 0})
def random_erasing(
    images: tf.Tensor,
    draws: Draws,
    probability: Annotated[float, Number(0, 1)] = 0.25,
    scale: Annotated[tuple[float, float], Several(Number(0, 1), 2)] = (0.02, 0.33),
    ratio: Annotated[tuple[float, float], Several(Number(0.01, 100), 2)] = (0.3, 3.3),
    fill: Colour = 128,
) -> tf.Tensor:
    """A box of random size and shape, whole within the image, is filled with a probability (Zhong et al. 2020).

    Args:
        images: uint8.
        draws: random numbers.
        probability: how often.
        scale: the box' share of the area, from and to.
        ratio: the box' height for its width, from and to, equally likely on a logarithmic scale. Sides that would be
            longer than the image's are cut to them.
        fill: the colour of the box.
    """
    _, height, width, _ = images.shape
    chosen, area, shape, down, right = tf.split(draws.uniform(5), 5, axis=1)
    area = (scale[0] + (scale[1] - scale[0]) * area) * (height * width)
    low, high = np.log(ratio)
    shape = tf.exp(low + (high - low) * shape)
    sides = []
    for side, size, place in ((tf.sqrt(area * shape), height, down), (tf.sqrt(area / shape), width, right)):
        length = tf.where(chosen < probability, tf.minimum(tf.cast(tf.round(side), tf.int32), size), 0)
        first = tf.cast(place * tf.cast(size - length + 1, tf.float32), tf.int32)
        sides.append(_between(first, length, size))
    return erase(images, *sides, fill)


@AUGMENTATIONS.register(identity={"probability": 0})
def grid_mask(
    images: tf.Tensor,
    draws: Draws,
    ratio: Annotated[float, Number(0, 1)] = 0.4,
    period: Annotated[tuple[float, float], Several(Number(0.01, 1), 2)] = (0.25, 0.6),
    probability: Annotated[float, Number(0, 1)] = 0.7,
    fill: Colour = 128,
) -> tf.Tensor:
    """Squares at the crossings of a grid are filled with a probability (Chen et al. 2020; the grid is not turned).

    Args:
        images: uint8.
        draws: random numbers.
        ratio: the squares' side as a part of the grid's period.
        period: the period as a part of the image's shorter side, from and to.
        probability: how often.
        fill: the colour of the squares.
    """
    _, height, width, _ = images.shape
    chosen, share, down, right = tf.split(draws.uniform(4), 4, axis=1)
    size = min(height, width) * (period[0] + (period[1] - period[0]) * share)
    pixels = tf.maximum(tf.cast(tf.round(size), tf.int32), 2)
    filled = tf.cast(tf.round(tf.cast(pixels, tf.float32) * ratio), tf.int32)
    filled = tf.where(chosen < probability, filled, 0)
    rows, columns = (
        (np.arange(side, dtype=np.int32) + tf.cast(place * tf.cast(pixels, tf.float32), tf.int32)) % pixels < filled
        for side, place in ((height, down), (width, right))
    )
    return erase(images, rows, columns, fill)


def erase(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, fill: Colour) -> tf.Tensor:
    """`images` with the pixels filled that lie in both `rows` (bool, batch x height) and `columns` (batch x width)."""
    _, height, width, channels = images.shape
    # Rows of bytes: a select that has to broadcast over channels of three bytes is four times slower.
    lines = tf.reshape(images, [-1, height, width * channels])
    inside = tf.expand_dims(rows, 2) & tf.expand_dims(tf.repeat(columns, channels, axis=1), 1)
    filled = tf.where(inside, np.tile(colour(fill, channels), width), lines)
    return tf.reshape(filled, [-1, height, width, channels])


def _between(first: tf.Tensor, length: tf.Tensor | int, size: int) -> tf.Tensor:
    """Which of `size` places lie in the `length` ones from `first` (int32, batch x 1) on: bool, batch x size."""
    places = np.arange(size, dtype=np.int32)
    return (places >= first) & (places < first + length)
