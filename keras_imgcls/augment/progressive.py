"""Progressive resizing: earlier epochs see smaller images, cheaper by the square (Tan and Le 2021, EfficientNetV2, 4.2)."""

from collections.abc import Callable
from functools import lru_cache

import tensorflow as tf

from keras_imgcls.augment.sequence import Augment


@lru_cache(maxsize=32)
def reduced(augment: Augment | None, size: int) -> Augment:
    """`augment` behind a resize (bilinear, antialiased) to `size` pixels, height and width; None: the resize alone.

    The same function for the same arguments, so that what was traced stays.
    """

    def small(images, labels, ids, epoch):
        images = tf.cast(tf.round(tf.image.resize(images, [size, size], antialias=True)), tf.uint8)
        return augment(images, labels, ids, epoch) if augment else (images, labels)

    return small


def by_epoch(augment: Augment | None, sizes: list[tuple[int, int]]) -> Callable[[int], Augment | None]:
    """`epoch -> augment` for images whose size changes: `sizes` are (first epoch, size), the own size before the first."""

    def of(epoch: int) -> Augment | None:
        reached = [size for first, size in sizes if first <= epoch]
        return reduced(augment, reached[-1]) if reached else augment

    return of
