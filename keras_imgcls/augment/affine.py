"""Turns, shears, zooms, resized crops and perspective: in a sequence they become one map and one reading.

Matrices lead from the result back to the source, in float64: rounded to 256ths of a pixel, a place is then the same
wherever it is computed.
"""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment.fill import Colour
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.augment.view import Interpolation, View
from keras_imgcls.core.arguments import Number, Several
from keras_imgcls.core.registry import AUGMENTATIONS

ATTEMPTS = 10  # boxes drawn for a resized crop, as torchvision does


@AUGMENTATIONS.register(geometric=True, identity={"degrees": 0})
def rotate(
    view: View,
    draws: Draws,
    degrees: Annotated[float, Number(0, 180)] = 15.0,
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> View:
    """A turn about the centre by up to `degrees`, either way."""
    return view.under(about_centre(rotation(_symmetric(draws, degrees)), view), fill, interpolation)


@AUGMENTATIONS.register(geometric=True, identity={"amount": 0})
def shear(
    view: View,
    draws: Draws,
    amount: Annotated[float, Number(0, 2)] = 0.2,
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> View:
    """A slant of up to `amount` pixels a pixel, of rows or of columns, either way, about the centre."""
    slant = _symmetric(draws, amount)
    of_rows = tf.cast(draws.uniform(1)[:, 0] < 0.5, tf.float64)
    return view.under(about_centre(linear(1, slant * of_rows, slant * (1 - of_rows), 1), view), fill, interpolation)


@AUGMENTATIONS.register(geometric=True, identity={"amount": 0})
def zoom(
    view: View,
    draws: Draws,
    amount: Annotated[float, Number(0, 3)] = 0.2,
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> View:
    """Larger or smaller, by a factor from 1 / (1 + amount) to 1 + amount, equally likely on a logarithmic scale."""
    source = tf.exp(_symmetric(draws, np.log1p(amount)))
    return view.under(about_centre(linear(source, 0, 0, source), view), fill, interpolation)


@AUGMENTATIONS.register(geometric=True, identity={"scale": (1, 1), "ratio": (1, 1)})
def random_resized_crop(
    view: View,
    draws: Draws,
    scale: Annotated[tuple[float, float], Several(Number(0.01, 1), 2)] = (0.08, 1.0),
    ratio: Annotated[tuple[float, float], Several(Number(0.1, 10), 2)] = (3 / 4, 4 / 3),
    interpolation: Interpolation = "bilinear",
) -> View:
    """A random box of the image, brought to the image's size (Szegedy et al. 2015, section 6).

    Args:
        view: uint8 images.
        draws: random numbers.
        scale: the box' share of the area, from and to.
        ratio: how wide the box is for its height, in pixels, from and to; equally likely on a logarithmic scale.
        interpolation: `bilinear` or `nearest`.
    """
    numbers = tf.cast(draws.uniform(2 * ATTEMPTS + 2), tf.float64)
    area, shape = numbers[:, :ATTEMPTS], numbers[:, ATTEMPTS : 2 * ATTEMPTS]
    low, high = np.log(ratio)
    shape = tf.exp(low + (high - low) * shape)
    area = (scale[0] + (scale[1] - scale[0]) * area) * view.height * view.width
    width, height = tf.round(tf.sqrt(area * shape)), tf.round(tf.sqrt(area / shape))
    fits = (width >= 1) & (width <= view.width) & (height >= 1) & (height <= view.height)
    taken = tf.cast(tf.argmax(fits, axis=1), tf.int32)
    width, height = (tf.gather(side, taken, batch_dims=1) for side in (width, height))
    # No box of ten fits: the one drawn first, cut to the image.
    width, height = tf.clip_by_value(width, 1, view.width), tf.clip_by_value(height, 1, view.height)
    left = tf.floor(numbers[:, -2] * (view.width - width + 1))
    top = tf.floor(numbers[:, -1] * (view.height - height + 1))
    x, y = width / view.width, height / view.height
    return view.under(linear(x, 0, 0, y, left, top), None, interpolation)


@AUGMENTATIONS.register(geometric=True, identity={"distortion": 0})
def perspective(
    view: View,
    draws: Draws,
    distortion: Annotated[float, Number(0, 0.9)] = 0.3,
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> View:
    """The image seen askew: each corner moves inwards by up to `distortion` of half the height and of half the width."""
    inwards = tf.cast(draws.uniform(8), tf.float64) * (distortion / 2)
    across, down = inwards[:, :4], inwards[:, 4:]
    x, y = np.array([0.0, 1, 1, 0]) + across * [1, -1, -1, 1], np.array([0.0, 0, 1, 1]) + down * [1, 1, -1, -1]
    pixels = tf.constant(np.diag([1 / view.width, 1 / view.height, 1]))
    to_square = tf.linalg.inv(pixels) @ adjugate(square_to(x, y)) @ pixels
    return view.under(to_square, fill, interpolation)


def square_to(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The projective matrices that bring the corners (0, 0), (1, 0), (1, 1), (0, 1) to (x, y) (Heckbert 1989, 2.2.3).

    Corners are float64 of shape (batch, 4), matrices of shape (batch, 3, 3).
    """
    x0, x1, x2, x3 = tf.unstack(x, axis=1)
    y0, y1, y2, y3 = tf.unstack(y, axis=1)
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (sum_x * (y3 - y2) - (x3 - x2) * sum_y) / area
    h = ((x1 - x2) * sum_y - sum_x * (y1 - y2)) / area
    entries = (x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, tf.ones_like(g))
    return tf.reshape(tf.stack(entries, axis=1), [-1, 3, 3])


def adjugate(matrices: tf.Tensor) -> tf.Tensor:
    """What is left of the inverse without dividing by the determinant, which projective matrices don't need."""
    first, second, third = tf.unstack(matrices, axis=1)
    crossed = (tf.linalg.cross(second, third), tf.linalg.cross(third, first), tf.linalg.cross(first, second))
    return tf.stack(crossed, axis=2)


def linear(xx, xy, yx, yy, x=0, y=0) -> tf.Tensor:
    """The matrix ((xx, xy, x), (yx, yy, y)) of each sample, float64 of shape (batch, 2, 3); one entry has the batch."""
    entries = [tf.convert_to_tensor(entry, tf.float64) for entry in (xx, xy, x, yx, yy, y)]
    batch = next(entry for entry in entries if entry.shape.rank)
    return tf.reshape(tf.stack([entry + tf.zeros_like(batch) for entry in entries], axis=1), [-1, 2, 3])


def rotation(degrees: tf.Tensor) -> tf.Tensor:
    """The matrix of a turn, seen clockwise for positive `degrees`, about (0, 0)."""
    angle = degrees * (np.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return linear(cosine, sine, -sine, cosine)


def about_centre(matrix: tf.Tensor, view: View) -> tf.Tensor:
    """`matrix`, of which only the linear part counts, with the image's centre kept in place."""
    centre = tf.constant([[view.width / 2], [view.height / 2]], tf.float64)
    turned = matrix[..., :2]
    return tf.concat([turned, centre - turned @ tf.broadcast_to(centre, [tf.shape(turned)[0], 2, 1])], axis=-1)


def _symmetric(draws: Draws, limit: float) -> tf.Tensor:
    """Numbers from -limit to limit, float64 of shape (batch,)."""
    return (tf.cast(draws.uniform(1)[:, 0], tf.float64) * 2 - 1) * limit
