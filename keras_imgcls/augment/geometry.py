"""Geometry without interpolation: shifts, crops and mirror images, however many, are one gather."""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment.fill import Colour
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.augment.view import View, reflect
from keras_imgcls.core.arguments import Choice, Number, Whole
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import AUGMENTATIONS


@AUGMENTATIONS.register(geometric=True, identity={"pixels": 0})
def pad_crop(
    view: View,
    draws: Draws,
    pixels: Annotated[int, Whole(0, 4096)] = 4,
    mode: Annotated[str, Choice(("reflect", "constant"))] = "reflect",
    fill: Colour = 0,
) -> View:
    """A crop of the padded image: every shift by up to `pixels`, both ways, is as likely (He et al. 2015, 4.2).

    Args:
        view: uint8 images.
        draws: random numbers.
        pixels: padding on each side.
        mode: `reflect` pads with the image mirrored at its border pixels, `constant` with `fill`.
        fill: the colour of `constant`.

    Raises:
        UserError: `reflect` with a padding that is as large as the image.
    """
    if mode == "reflect" and pixels >= min(view.height, view.width):
        size = f"{view.height} x {view.width}"
        raise UserError(f"pad_crop's pixels is below height and width ({size}) where it reflects; received {pixels}.")
    down, right = tf.split(draws.integers(-pixels, pixels, 2), 2, axis=1)
    if mode == "constant":
        return shifted(view, down, right, fill)
    return view.through(
        lambda rows: reflect(rows + tf.cast(down, rows.dtype), view.height),
        lambda columns: reflect(columns + tf.cast(right, columns.dtype), view.width),
    )


@AUGMENTATIONS.register(geometric=True, identity={"fraction": 0})
def translate(view: View, draws: Draws, fraction: Annotated[float, Number(0, 1)] = 0.1, fill: Colour = 128) -> View:
    """A shift by whole pixels, up to a fraction of height and width, each way; what is uncovered is filled."""
    limits = int(fraction * view.height), int(fraction * view.width)
    steps = draws.integers(0, (2 * limits[0], 2 * limits[1]), 2) - np.array(limits, np.int32)
    down, right = tf.split(steps, 2, axis=1)
    return shifted(view, down, right, fill)


@AUGMENTATIONS.register(geometric=True, identity={"probability": 0})
def flip(view: View, draws: Draws, probability: Annotated[float, Number(0, 1)] = 0.5) -> View:
    """The mirror image, left for right, with a probability."""
    return _mirrored(view, draws.uniform(1) < probability)


@AUGMENTATIONS.register(geometric=True, identity={"probability": 0})
def vertical_flip(view: View, draws: Draws, probability: Annotated[float, Number(0, 1)] = 0.5) -> View:
    """The mirror image, top for bottom, with a probability."""
    chosen = draws.uniform(1) < probability
    return view.through(rows=lambda rows: tf.where(chosen, view.height - 1 - rows, rows))


@AUGMENTATIONS.register(geometric=True)
def alternating_flip(view: View, draws: Draws) -> View:
    """The mirror image of a random half in epoch 0, then in turns of the others and of these (Jordan 2024).

    Any two epochs in a row show an image both ways, so that a short run sees more than with coins thrown anew.
    """
    first_half = draws.in_epoch(0).uniform(1) < 0.5
    return _mirrored(view, first_half ^ (draws.epoch % 2 == 1))


def shifted(view: View, down: tf.Tensor, right: tf.Tensor, fill: Colour) -> View:
    """`view` with pixels taken from `down` rows further down and `right` columns further right: int32, (batch, 1)."""
    return view.through(
        lambda rows: rows + tf.cast(down, rows.dtype), lambda columns: columns + tf.cast(right, columns.dtype), fill
    )


def _mirrored(view: View, chosen: tf.Tensor) -> View:
    """`view` with the samples mirrored where `chosen`, bool of shape (batch, 1)."""
    return view.through(columns=lambda columns: tf.where(chosen, view.width - 1 - columns, columns))
