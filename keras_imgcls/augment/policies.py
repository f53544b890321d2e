"""Policies: each sample draws operations of its own, and only the drawn ones run on it.

Operations, their ranges and the 31 steps of magnitude are those of torchvision's transforms of the same names, so that
magnitudes carry over. Samples that drew a turn, a slant or a shift are read in one go, each by its own matrix.
"""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment import levels
from keras_imgcls.augment.affine import about_centre, linear, rotation
from keras_imgcls.augment.branches import each
from keras_imgcls.augment.fill import Colour
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.augment.view import Interpolation, View
from keras_imgcls.core.arguments import Choice, Whole
from keras_imgcls.core.registry import AUGMENTATIONS

AFFINE = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BALANCES = {  # magnitude 0 leaves the image as it is, -1 is grey, black or blurred
    "brightness": levels.brightened, "saturation": levels.saturated,
    "contrast": levels.contrasted, "sharpness": levels.sharpened,
}  # fmt: skip
TABLES = {"posterize": levels.posterized, "solarize": levels.solarized}
WHOLE = {"autocontrast": levels.autocontrasted, "equalize": levels.equalized, "invert": levels.inverted}
OPERATIONS = ("identity", *AFFINE, *BALANCES, *TABLES, *WHOLE)
SIGNED = np.array([name in AFFINE or name in BALANCES for name in OPERATIONS])
BUCKETS = np.maximum(np.arange(len(OPERATIONS), dtype=np.int32) - len(AFFINE) + 1, 1)  # the affine ones share one
BUCKETS[0] = 0

Steps = tuple[tuple[str, float, int], tuple[str, float, int]]
# Operation, probability, magnitude from 0 to 9: tables 7 and 9 of Cubuk et al. 2019.
CIFAR10 = """
invert .1 7 contrast .2 6|rotate .7 2 translate_x .3 9|sharpness .8 1 sharpness .9 3|shear_y .5 8 translate_y .7 9
autocontrast .5 8 equalize .9 2|shear_y .2 7 posterize .3 7|saturation .4 3 brightness .6 7|sharpness .3 9 brightness .7 9
equalize .6 5 equalize .5 1|contrast .6 7 sharpness .6 5|saturation .7 7 translate_x .5 8|equalize .3 7 autocontrast .4 8
translate_y .4 3 sharpness .2 6|brightness .9 6 saturation .2 8|solarize .5 2 invert 0 3|equalize .2 0 autocontrast .6 0
equalize .2 8 equalize .6 4|saturation .9 9 equalize .6 6|autocontrast .8 4 solarize .2 8|brightness .1 3 saturation .7 0
solarize .4 5 autocontrast .9 3|translate_y .9 9 translate_y .7 9|autocontrast .9 2 solarize .8 3|equalize .8 8 invert .1 3
translate_y .7 9 autocontrast .9 1"""
IMAGENET = """
posterize .4 8 rotate .6 9|solarize .6 5 autocontrast .6 5|equalize .8 8 equalize .6 3|posterize .6 7 posterize .6 6
equalize .4 7 solarize .2 4|equalize .4 4 rotate .8 8|solarize .6 3 equalize .6 7|posterize .8 5 equalize 1 2
rotate .2 3 solarize .6 8|equalize .6 8 posterize .4 6|rotate .8 8 saturation .4 0|rotate .4 9 equalize .6 2
equalize 0 7 equalize .8 8|invert .6 4 equalize 1 8|saturation .6 4 contrast 1 8|rotate .8 8 saturation 1 2
saturation .8 8 solarize .8 7|sharpness .4 7 invert .6 8|shear_x .6 5 equalize 1 9|saturation .4 0 equalize .6 3
equalize .4 7 solarize .2 4|solarize .6 5 autocontrast .6 5|invert .6 4 equalize 1 8|saturation .6 4 contrast 1 8
equalize .8 8 equalize .6 3"""


@AUGMENTATIONS.register(identity={"operations": 0}, shown={"magnitude": (0, 30)})
def randaugment(
    images: tf.Tensor,
    draws: Draws,
    operations: Annotated[int, Whole(0, 10)] = 2,
    magnitude: Annotated[int, Whole(0, 30)] = 9,
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> tf.Tensor:
    """Some of 14 operations, one after the other, all of one magnitude (Cubuk et al. 2020, RandAugment).

    Args:
        images: uint8.
        draws: random numbers.
        operations: how many each sample goes through; all are equally likely each time, to change nothing included.
        magnitude: from 0 to 30, as in torchvision. The paper's scale of 10 is a third of it.
        fill: the colour of what a turn or a shift uncovers.
        interpolation: `bilinear`; torchvision's default is `nearest`.
    """
    strengths = np.array([ranges(name, 31, images.shape)[magnitude] for name in OPERATIONS[:-1]], np.float32)
    for _ in range(operations):
        chosen = draws.integers(0, len(strengths) - 1)[:, 0]  # invert, the last one, is not among them
        images = applied(images, draws, chosen, tf.gather(strengths, chosen), fill, interpolation)
    return images


@AUGMENTATIONS.register
def trivial_augment(
    images: tf.Tensor, draws: Draws, fill: Colour = 128, interpolation: Interpolation = "bilinear"
) -> tf.Tensor:
    """One of 14 operations at one of 31 magnitudes, from none to extreme (Müller & Hutter 2021, the wide space)."""
    strengths = np.array([ranges(name, 31, images.shape, wide=True) for name in OPERATIONS[:-1]], np.float32)
    chosen, magnitude = tf.unstack(draws.integers(0, (len(strengths) - 1, 30), 2), axis=1)
    strength = tf.gather(strengths.ravel(), chosen * 31 + magnitude)
    return applied(images, draws, chosen, strength, fill, interpolation)


@AUGMENTATIONS.register
def autoaugment(
    images: tf.Tensor,
    draws: Draws,
    policy: Annotated[str, Choice(("cifar10", "imagenet"))] = "cifar10",
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> tf.Tensor:
    """One of 25 pairs of operations, each with its own probability and magnitude (Cubuk et al. 2019, AutoAugment)."""
    pairs = parsed(CIFAR10 if policy == "cifar10" else IMAGENET)
    sub_policy = draws.integers(0, len(pairs) - 1)[:, 0]
    for steps in zip(*pairs, strict=True):
        names, probabilities, magnitudes = zip(*steps, strict=True)
        strengths = [ranges(name, 10, images.shape)[number] for name, number in zip(names, magnitudes, strict=True)]
        places = np.array([OPERATIONS.index(name) for name in names], np.int32)
        done = draws.uniform(1)[:, 0] < tf.gather(np.array(probabilities, np.float32), sub_policy)
        chosen = tf.where(done, tf.gather(places, sub_policy), 0)
        strength = tf.gather(np.array(strengths, np.float32), sub_policy)
        images = applied(images, draws, chosen, strength, fill, interpolation)
    return images


def parsed(policy: str) -> list[Steps]:
    """The pairs of `(operation, probability, magnitude)` in a table above."""
    words = [pair.split() for pair in policy.strip().replace("\n", "|").split("|")]
    return [tuple((word[at], float(word[at + 1]), int(word[at + 2])) for at in (0, 3)) for word in words]


def ranges(name: str, count: int, shape: tuple, wide: bool = False) -> np.ndarray:
    """The strengths of an operation in `count` steps: float64 of shape (count,).

    Pixels a pixel for slants, pixels for shifts, degrees, distance of a factor from 1, bits, a threshold.
    """
    if name.startswith("translate"):
        size = shape[2] if name == "translate_x" else shape[1]
        return np.floor(np.linspace(0, 32 if wide else 150 / 331 * size, count))
    if name == "posterize":
        return 8 - np.round(np.linspace(0, 6 if wide else 4, count))
    if name == "solarize":
        return np.linspace(255, 0, count)
    most = {"shear_x": 0.3, "shear_y": 0.3, "rotate": 30, **dict.fromkeys(BALANCES, 0.9)}
    wider = {"shear_x": 0.99, "shear_y": 0.99, "rotate": 135, **dict.fromkeys(BALANCES, 0.99)}
    return np.linspace(0, (wider if wide else most).get(name, 0), count)


def applied(
    images: tf.Tensor, draws: Draws, chosen: tf.Tensor, strength: tf.Tensor, fill: Colour, interpolation: str
) -> tf.Tensor:
    """Each sample after one operation; those with a sign go either way.

    Args:
        images: uint8 of shape (batch, height, width, channels).
        draws: gives the signs, and says whether samples are gone through in turn.
        chosen: places in `OPERATIONS`, int32 of shape (batch,).
        strength: in the operation's own unit (see `ranges`), float32 of shape (batch,).
        fill: the colour of what a turn or a shift uncovers.
        interpolation: `bilinear` or `nearest`.
    """
    negative = (draws.uniform(1)[:, 0] < 0.5) & tf.gather(SIGNED, chosen)
    strength = tf.where(negative, -strength, strength)

    def moved(images, chosen, strength):
        view = View(images)
        return view.under(_matrices(view, chosen, strength), fill, interpolation).pixels()

    buckets = [
        lambda images, chosen, strength: images,
        moved,
        *(_with(lambda strength: 1 + strength, operation) for operation in BALANCES.values()),
        *(_with(lambda strength: strength, operation) for operation in TABLES.values()),
        *(_alone(operation) for operation in WHOLE.values()),
    ]
    return each(tf.gather(BUCKETS, chosen), buckets, images, chosen, strength, in_turn=draws.in_turn)


def _matrices(view: View, chosen: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """The matrix of each sample's affine operation. Slants keep the first corner in place, as published."""
    amount = tf.cast(strength, tf.float64)
    slant_x, slant_y = linear(1, amount, 0, 1), linear(1, 0, amount, 1)
    shift_x, shift_y = linear(1, 0, 0, 1, amount), linear(1, 0, 0, 1, 0, amount)
    turn = about_centre(rotation(amount), view)
    return tf.gather(tf.stack([slant_x, slant_y, shift_x, shift_y, turn], axis=1), chosen - 1, batch_dims=1)


def _with(scale, operation):
    return lambda images, chosen, strength: operation(images, scale(strength))


def _alone(operation):
    return lambda images, chosen, strength: operation(images)
