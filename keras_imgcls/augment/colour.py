"""Colour: brightness, contrast and their like, with the meaning that Pillow gives them, one draw for each sample."""

from typing import Annotated

import tensorflow as tf

from keras_imgcls.augment import levels
from keras_imgcls.augment.branches import sometimes
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.core.arguments import Number, Whole
from keras_imgcls.core.registry import AUGMENTATIONS

Amount = Annotated[float, Number(0, 10)]
Probability = Annotated[float, Number(0, 1)]


@AUGMENTATIONS.register(identity={"amount": 0})
def brightness(images: tf.Tensor, draws: Draws, amount: Amount = 0.4) -> tf.Tensor:
    """Levels times a factor from 1 - amount (0 at least) to 1 + amount."""
    return levels.brightened(images, _factors(draws, amount))


@AUGMENTATIONS.register(identity={"amount": 0})
def contrast(images: tf.Tensor, draws: Draws, amount: Amount = 0.4) -> tf.Tensor:
    """Distances from the image's mean grey times a factor from 1 - amount (0 at least) to 1 + amount."""
    return levels.contrasted(images, _factors(draws, amount))


@AUGMENTATIONS.register(identity={"amount": 0}, coloured=True)
def saturation(images: tf.Tensor, draws: Draws, amount: Amount = 0.4) -> tf.Tensor:
    """Distances from grey times a factor from 1 - amount (0 at least) to 1 + amount; grey images stay."""
    return levels.saturated(images, _factors(draws, amount))


@AUGMENTATIONS.register(identity={"amount": 0})
def sharpness(images: tf.Tensor, draws: Draws, amount: Amount = 0.4) -> tf.Tensor:
    """Distances from the smoothed image times a factor from 1 - amount (0 at least) to 1 + amount: blurred below 1."""
    return levels.sharpened(images, _factors(draws, amount))


@AUGMENTATIONS.register(identity={"amount": 0}, coloured=True, rounds=True)
def hue(images: tf.Tensor, draws: Draws, amount: Annotated[float, Number(0, 0.5)] = 0.1) -> tf.Tensor:
    """Hues turned by up to `amount` of the colour circle, either way; grey images stay.

    In float32, where Pillow's HSV rounds hue and saturation to 8 bits.
    """
    if images.shape[-1] == 1:
        return images
    turn = tf.reshape(amount * (2 * draws.uniform(1) - 1), [-1, 1, 1, 1])
    hues, rest = tf.split(tf.image.rgb_to_hsv(tf.cast(images, tf.float32)), [1, 2], axis=-1)
    turned = tf.image.hsv_to_rgb(tf.concat([tf.math.floormod(hues + turn, 1.0), rest], axis=-1))
    return levels.rounded(turned)


@AUGMENTATIONS.register(identity={"probability": 0}, coloured=True)
def grey(images: tf.Tensor, draws: Draws, probability: Probability = 0.2) -> tf.Tensor:
    """The grey image (luma, in all channels) with a probability."""
    factors = tf.where(draws.uniform(1)[:, 0] < probability, 0.0, 1.0)
    return levels.saturated(images, factors)


@AUGMENTATIONS.register(identity={"probability": 0})
def invert(images: tf.Tensor, draws: Draws, probability: Probability = 0.2) -> tf.Tensor:
    """The negative with a probability."""
    return sometimes(levels.inverted, images, draws, probability)


@AUGMENTATIONS.register(identity={"probability": 0})
def autocontrast(images: tf.Tensor, draws: Draws, probability: Probability = 0.2) -> tf.Tensor:
    """Each channel stretched to all levels from 0 to 255, with a probability."""
    return sometimes(levels.autocontrasted, images, draws, probability)


@AUGMENTATIONS.register(identity={"probability": 0})
def equalize(images: tf.Tensor, draws: Draws, probability: Probability = 0.2) -> tf.Tensor:
    """The levels of each channel spread evenly, with a probability."""
    return sometimes(levels.equalized, images, draws, probability)


@AUGMENTATIONS.register(identity={"probability": 0}, shown={"threshold": (256, 0)})
def solarize(
    images: tf.Tensor, draws: Draws, threshold: Annotated[int, Whole(0, 256)] = 128, probability: Probability = 0.2
) -> tf.Tensor:
    """The negative of levels at or above a threshold, with a probability."""
    chosen = draws.uniform(1)[:, 0] < probability
    return levels.solarized(images, tf.where(chosen, float(threshold), 256.0))


@AUGMENTATIONS.register(identity={"probability": 0}, shown={"bits": (8, 1)})
def posterize(
    images: tf.Tensor, draws: Draws, bits: Annotated[int, Whole(1, 8)] = 4, probability: Probability = 0.2
) -> tf.Tensor:
    """Levels of fewer bits, with a probability."""
    return levels.posterized(images, tf.where(draws.uniform(1)[:, 0] < probability, bits, 8))


@AUGMENTATIONS.register(identity={"sigma": 0}, rounds=True)
def blur(
    images: tf.Tensor, draws: Draws, sigma: Annotated[float, Number(0, 10)] = 1.5, probability: Probability = 0.5
) -> tf.Tensor:
    """A Gaussian blur with a probability; its standard deviation is drawn between 0 and `sigma` pixels.

    The kernel ends at three of the largest standard deviations, and the border pixels are repeated outside.
    """
    numbers = draws.uniform(2)
    return levels.blurred(images, tf.where(numbers[:, 1] < probability, numbers[:, 0] * sigma, 0.0), sigma)


@AUGMENTATIONS.register(identity={"deviation": 0}, rounds=True)
def noise(images: tf.Tensor, draws: Draws, deviation: Annotated[float, Number(0, 255)] = 8.0) -> tf.Tensor:
    """Gaussian noise on every level, its standard deviation drawn between 0 and `deviation` grey levels."""
    _, height, width, channels = images.shape
    strength = tf.reshape(draws.uniform(1) * deviation, [-1, 1, 1, 1])
    uniform = draws.uniform(height * width * channels) + 2.0**-25  # within (0, 1)
    normal = tf.reshape(tf.math.ndtri(uniform), [-1, height, width, channels])
    return levels.rounded(tf.cast(images, tf.float32) + strength * normal)


def _factors(draws: Draws, amount: float) -> tf.Tensor:
    """From 1 - amount (0 at least) to 1 + amount, in whole steps: a sum of those is exact, however it is compiled."""
    low, high = (round(end * levels.FACTOR_STEPS) for end in (max(0.0, 1 - amount), 1 + amount))
    return (low + tf.round((high - low) * draws.uniform(1)[:, 0])) / levels.FACTOR_STEPS
