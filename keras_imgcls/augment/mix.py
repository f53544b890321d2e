"""Mixing: an image takes a part of its neighbour in the batch, and its label the same part of the neighbour's.

The neighbour is the sample before it in the batch (the last one for the first): epochs are in random order, so that it
is a random one, whoever mixes. How much is taken depends on seed, epoch and id alone, as all augmentation does; where it
is drawn once per batch, on the id of the batch' first sample.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment.randomness import Draws, stream
from keras_imgcls.core import arguments
from keras_imgcls.core.arguments import Choice, Number
from keras_imgcls.core.registry import MIXES
from keras_imgcls.core.spec import Call, parse_choice

Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int | tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Alpha = Annotated[float, Number(0.01, 10)]
Per = Annotated[str, Choice(("sample", "batch"))]

SHARES = 2**16  # a share times a level has 24 bits: exact in float32
FIRST_STREAM = 2**31  # the operations of a sequence have those from 0 on
QUANTILES = 2**12


@MIXES.register
def mixup(images: tf.Tensor, draws: Draws, alpha: Alpha = 0.2, per: Per = "sample") -> tf.Tensor:
    """The weighted mean of both images; the weight is of Beta(alpha, alpha) (Zhang et al. 2018)."""
    return tf.reshape(beta(_drawn(draws, per).uniform(1)[:, 0], alpha), [-1, 1, 1])


@MIXES.register
def cutmix(images: tf.Tensor, draws: Draws, alpha: Alpha = 1.0, per: Per = "sample") -> tf.Tensor:
    """A box of the image is the neighbour's; the rest's share of the area is of Beta(alpha, alpha) (Yun et al. 2019).

    The box is cut at the border, and the label's share is that of the pixels which are left.
    """
    _, height, width, _ = images.shape
    numbers = _drawn(draws, per).uniform(3)
    side = tf.sqrt(1 - beta(numbers[:, 0], alpha))
    rows = _outside(numbers[:, 1], side, height)
    columns = _outside(numbers[:, 2], side, width)
    return tf.expand_dims(rows, 2) | tf.expand_dims(columns, 1)


def build_mix(spec: str, seed: int, off_epoch: int = 0, compiled: bool = False) -> Mix | None:
    """The function `(images, labels, ids, epoch) -> (images, labels)` that `spec` describes; None for `none`.

    It takes and gives images uint8 of shape (batch, height, width, channels) and labels float32 of shape (batch,
    classes), one-hot or multi-hot. Under `choice(a, b)` each sample draws which of them is done to it, or the batch does
    where both are drawn per batch.

    Args:
        spec: `none`, a mix such as `mixup(0.2)`, or `choice(mixup(0.2), cutmix(1.0))`.
        seed: of the run.
        off_epoch: from this epoch on nothing is mixed; 0: never off.
        compiled: whether XLA compiles what is done to pixels, to the same ones: several times faster on a CPU, after a second
            or two for each shape of batch.

    Raises:
        UserError: an unknown mix or argument, a value out of its range, a seed that is not in [0, 2^64).
    """
    if spec.strip() in ("", "none"):
        return None
    parts, per = zip(*map(_bound, parse_choice(spec)), strict=True)
    choice_per = "batch" if set(per) == {"batch"} else "sample"
    keys = [stream(seed, FIRST_STREAM + number) for number in range(len(parts) + 1)]

    blend = tf.function(mixed, autograph=False, jit_compile=True) if compiled else mixed

    def mix(images, labels, ids, epoch):
        draws = [Draws(key, ids, epoch) for key in keys]
        kept = [part(images, own) for part, own in zip(parts, draws[1:], strict=True)]
        kept = (
            kept[0]
            if len(kept) == 1
            else _chosen(kept, _drawn(draws[0], choice_per).integers(0, len(parts) - 1), images.shape)
        )
        if off_epoch:
            kept = tf.cast(kept, tf.float32)
            kept = tf.where(tf.cast(epoch, tf.int64) < off_epoch, kept, tf.ones_like(kept))
        return blend(images, labels, kept)

    return mix


def mixed(images: tf.Tensor, labels: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images and labels of which the share `kept` is their own and the rest that of the sample before.

    `kept` is bool, of shape (batch, height, width), or float32, of that shape or (batch, 1, 1).
    """
    neighbours = tf.roll(images, 1, axis=0)
    if kept.dtype == tf.bool:
        result = _selected(kept, images, neighbours)
    else:
        share = tf.expand_dims(kept, 3)
        own, other = tf.cast(images, tf.float32), tf.cast(neighbours, tf.float32)
        result = tf.cast(other + share * (own - other) + 0.5, tf.uint8)
    part = tf.reduce_mean(tf.cast(kept, tf.float32), axis=[1, 2])[:, None]
    return result, part * labels + (1 - part) * tf.roll(labels, 1, axis=0)


def beta(uniform: tf.Tensor, alpha: float) -> tf.Tensor:
    """Numbers of Beta(alpha, alpha) from uniform ones, by the inverse of its distribution: multiples of 2^-16."""
    table = tf.constant(quantiles(alpha), tf.float32)
    lower = tf.minimum(uniform, 1 - uniform) * (2 * QUANTILES)
    place = tf.minimum(tf.cast(lower, tf.int32), QUANTILES - 1)
    left, right = tf.gather(table, place), tf.gather(table, place + 1)
    share = tf.pow(left + (right - left) * (lower - tf.cast(place, tf.float32)), 1 / alpha)
    share = tf.round(share * SHARES) / SHARES
    return tf.where(uniform < 0.5, share, 1 - share)


def quantiles(alpha: float) -> np.ndarray:
    """x^alpha where the distribution of Beta(alpha, alpha) is 0, 1 / (2 n) … 1/2: float64 of shape (n + 1,).

    In t = x^alpha the density is (1 - x)^(alpha - 1) up to a constant, which has no pole at 0.
    """
    t = np.linspace(0, 0.5**alpha, 16 * QUANTILES + 1)
    density = (1 - t ** (1 / alpha)) ** (alpha - 1)
    mass = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return np.interp(np.linspace(0, mass[-1], QUANTILES + 1), mass, t)


def _outside(uniform: tf.Tensor, side: tf.Tensor, size: int) -> tf.Tensor:
    """Which of `size` places are not in the box around a random one that is `side` (a fraction) wide: bool."""
    length = tf.cast(side * size, tf.int32)[:, None]
    first = tf.cast(uniform * size, tf.int32)[:, None] - length // 2
    places = np.arange(size, dtype=np.int32)
    return (places < first) | (places >= first + length)


def _chosen(kept: list[tf.Tensor], choice: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The shares of each sample's own choice, int32 of shape (batch, 1): float32 of shape (batch, height, width)."""
    full = tf.zeros([tf.shape(choice)[0], *shape[1:3]])
    for number, share in enumerate(kept):
        full = tf.where(tf.expand_dims(choice == number, 2), tf.cast(share, tf.float32), full)
    return full


def _selected(kept: tf.Tensor, images: tf.Tensor, neighbours: tf.Tensor) -> tf.Tensor:
    """`images` where `kept`. On rows of bytes: a select that broadcasts over channels is slower."""
    _, height, width, channels = images.shape
    lines = [-1, height, width * channels]
    own = tf.repeat(kept, channels, axis=2)
    return tf.reshape(tf.where(own, tf.reshape(images, lines), tf.reshape(neighbours, lines)), [-1, *images.shape[1:]])


def _drawn(draws: Draws, per: str) -> Draws:
    return draws.of_the_first() if per == "batch" else draws


def _bound(call: Call) -> tuple[Callable, str]:
    """The mix with its arguments, and whether it is drawn per sample or per batch."""
    function = MIXES.get(MIXES.check(call).name)
    given = arguments.bind(function, call, hidden=2)
    return lambda images, draws: function(images, draws, **given), given.get("per", "sample")
