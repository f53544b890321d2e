"""Recipes of several operations: AugMix, which mixes chains of them, and 3-Augment, which takes one of three."""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment import levels
from keras_imgcls.augment.branches import each
from keras_imgcls.augment.fill import Colour
from keras_imgcls.augment.policies import OPERATIONS, applied, ranges
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.augment.view import Interpolation
from keras_imgcls.core.arguments import Number, Whole
from keras_imgcls.core.registry import AUGMENTATIONS

SHARES = 2**12  # a share times a level has 20 bits, their sum too: exact in float32
LONGEST = 3
BLUR = 2.0  # pixels


@AUGMENTATIONS.register(rounds=True, shown={"severity": (1, 10)})
def augmix(
    images: tf.Tensor,
    draws: Draws,
    severity: Annotated[int, Whole(1, 10)] = 3,
    width: Annotated[int, Whole(1, 10)] = 3,
    depth: Annotated[int, Whole(0, 10)] = 0,
    fill: Colour = 128,
    interpolation: Interpolation = "bilinear",
) -> tf.Tensor:
    """The image mixed with several chains of operations on it (Hendrycks et al. 2020), without the consistency loss.

    The weights of the chains are of Dirichlet(1, …), that of the image itself is uniform.

    Args:
        images: uint8.
        draws: random numbers.
        severity: the most that an operation is given, in tenths of its range.
        width: number of chains.
        depth: operations in a chain; 0 draws 1 to 3 for each.
        fill: the colour of what a turn or a shift uncovers.
        interpolation: `bilinear` or `nearest`.
    """
    strengths = np.array([ranges(name, 11, images.shape) for name in OPERATIONS[:-1]], np.float32)
    result, own = 0.0, 1.0
    for share in _shares(draws, width):
        length = draws.integers(1, LONGEST)[:, 0] if depth == 0 else depth
        chained = images
        for step in range(depth or LONGEST):
            chosen, amount = tf.unstack(draws.integers(1, (len(strengths) - 1, severity), 2), axis=1)
            chosen = tf.where(step < length, chosen, 0)
            strength = tf.gather(strengths.ravel(), chosen * 11 + amount)
            chained = applied(chained, draws, chosen, strength, fill, interpolation)
        result += share * tf.cast(chained, tf.float32)
        own -= share
    return levels.rounded(result + own * tf.cast(images, tf.float32))


@AUGMENTATIONS.register(rounds=True)
def three_augment(images: tf.Tensor, draws: Draws, jitter: Annotated[float, Number(0, 1)] = 0.3) -> tf.Tensor:
    """Grey, solarized or blurred, one of them for each sample, then a little of other colours (Touvron et al. 2022, DeiT III).

    Args:
        images: uint8.
        draws: random numbers.
        jitter: the most by which the factors of brightness, contrast and saturation differ from 1.
    """
    chosen = draws.integers(0, 2)[:, 0]
    deviation = 0.1 + (BLUR - 0.1) * draws.uniform(1)[:, 0]
    operations = [
        lambda images, deviation: levels.saturated(images, tf.zeros_like(deviation)),
        lambda images, deviation: levels.solarized(images, tf.fill(tf.shape(deviation), 128.0)),
        lambda images, deviation: levels.blurred(images, deviation, BLUR),
    ]
    images = each(chosen, operations, images, deviation, in_turn=draws.in_turn)
    factors = 1 + jitter * (2 * draws.uniform(3) - 1)
    for number, operation in enumerate((levels.brightened, levels.contrasted, levels.saturated)):
        images = operation(images, factors[:, number])
    return images


def _shares(draws: Draws, count: int) -> list[tf.Tensor]:
    """The shares of the chains, multiples of 1 / `SHARES` whose sum is uniform: float32 of shape (batch, 1, 1, 1)."""
    numbers = draws.uniform(count + 1)
    weights = -tf.math.log(1 - numbers[:, 1:])
    shares = numbers[:, :1] * weights / tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1e-9)
    shares = tf.reshape(tf.floor(shares * SHARES) / SHARES, [-1, count, 1, 1, 1])
    return tf.unstack(shares, axis=1)
