"""The feed: what the loop asks of data. One iterator per epoch, each batch with the time that was spent waiting for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_imgcls.data.tuner import without_tuner


@dataclass(frozen=True)
class Feed:
    """Training batches by epoch.

    Attributes:
        batches: `(epoch, first_step) -> tf.data.Dataset` of (images, labels, ids), the rest of the epoch from that step on.
        steps: steps in an epoch.
        images: images in an epoch.
        image_shape: (height, width, channels) of an image.
        classes: how many classes the labels have.
        held_out: how many images validate each epoch.
        view: `number -> tf.data.Dataset` of (images, labels, ids), every training image once, never mixed: 0 is the
            image itself, others are augmented as in the epoch of that number; None where there are no ids.
        order: `epoch -> rows of such a view` in the order of that epoch, as many as it has images.
    """

    batches: Callable[[int, int], tf.data.Dataset]
    steps: int
    images: int
    image_shape: tuple[int, int, int]
    classes: int
    held_out: int = 0
    view: Callable[[int], tf.data.Dataset] | None = None
    order: Callable[[int], np.ndarray] | None = None


def timed(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset`, each element paired with the seconds (float64) that its consumer waited for it.

    `zip` pulls its inputs in turn: a clock reading, then the batch; a second reading follows. Nothing may prefetch behind
    that, or the wait would be the prefetcher's, so tf.data's own habit of adding one is switched off. (`tf.timestamp` would
    do without Python, but is refused under op determinism.)
    """

    def now() -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(time.perf_counter, [], tf.float64), [])

    plain = tf.autograph.experimental.do_not_convert  # AutoGraph leaves files behind where a process is killed
    clock = tf.data.Dataset.range(1).repeat().map(plain(lambda _: now()))
    stamped = tf.data.Dataset.zip(clock, dataset).map(plain(lambda began, batch: (batch, now() - began)))
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return without_tuner(stamped.with_options(options))
