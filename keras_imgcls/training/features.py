"""Kept features: while the whole body is frozen it computes each image once, and the head trains on what it gave."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core import signals
from keras_imgcls.core.console import note
from keras_imgcls.data.memory import available_memory
from keras_imgcls.training.feed import Feed
from keras_imgcls.training.validation import Validator

DETERMINISTIC_RAM = 2 * 2**30  # bytes; under --deterministic the choice may not follow the machine


def head(model: keras.Model) -> keras.Model:
    """What comes behind the features (behind their pool, where there is one), over the layers of `model`."""
    return keras.Model(pooled(model), model.outputs[0], name=f"{model.name}-head")


def views_that_fit(model: keras.Model, feed: Feed, views: int, deterministic: bool) -> int:
    """How many of `views` can be kept: a quarter of the free memory; 0 where not even one fits, or images have no ids.

    Args:
        model: with the landmark `features`.
        feed: the training batches.
        views: how many are wanted.
        deterministic: the bound is `DETERMINISTIC_RAM`, whatever is free.
    """
    if feed.view is None:
        return 0
    size = 4 * int(np.prod(pooled(model).shape[1:])) * len(feed.order(0))
    memory = DETERMINISTIC_RAM if deterministic else available_memory() // 4
    possible = min(views, memory // size)
    if possible < views:
        kept = f"{possible} views of each are kept" if possible else "they are computed anew in each epoch"
        note(
            f"Features of all images ({size / 2**20:,.0f} MiB a view) are too large for --feature_views={views}: {kept}."
        )
    return possible


class Features:
    """Features of all training images in several augmented views, and of the held-out images.

    View 0 is the image as validation sees it. View `v` is drawn by the ordinary augmentation of epoch `v`, so that it is a
    function of seed, `v` and the image alone. Epoch `e` (from 0) takes view `e` modulo their number. Nothing is mixed.
    For a linear head the image alone was best: 89.2 % (253 brain scans, EfficientNet-lite0, three times five folds), where
    one augmented view gave 87.9 % and eight 87.5 %; 148 flowers, 77.0, 77.3 and 76.6 %.
    """

    def __init__(self, view: keras.Model, feed: Feed, views: int, validate: Callable) -> None:
        """Computes them.

        Args:
            view: the training view of the model, all up to `features` in inference mode.
            feed: the training batches, with ids.
            views: how many to keep.
            validate: validation of the model; a `Validator` is given features too.
        """
        body = keras.Model(view.inputs[0], pooled(view))

        def features_of(images):
            return tf.cast(body(tf.cast(images, tf.float32), training=False), tf.float32)

        compute = tf.function(features_of, autograph=False, reduce_retracing=True)
        parts = [_all(feed.view(number), compute) for number in range(views)]
        self._features, (_, self._labels, self._ids) = [part[0] for part in parts], parts[0]
        self._whole, self._validate = feed, validate
        self._held_out = (
            _all(validate.batches, compute)[:2]
            if isinstance(validate, Validator) and validate.batches is not None
            else None
        )

    def feed(self) -> Feed:
        """Batches of (features, labels, ids), of the same samples in the same order as the batches of images."""
        size = self._whole.images // self._whole.steps

        def batches(epoch: int, first_step: int) -> tf.data.Dataset:
            rows = self._whole.order(epoch)[first_step * size : self._whole.steps * size]
            features = self._features[epoch % len(self._features)]
            parts = (features[rows], self._labels[rows], self._ids[rows])
            return tf.data.Dataset.from_tensor_slices(parts).batch(size, drop_remainder=True)

        return replace(self._whole, batches=batches)

    def validator(self, head_model: keras.Model) -> Callable[[], dict[str, float]]:
        """What `validate` gives, from the kept features where it can be."""
        if self._held_out is None:
            return self._validate
        return Validator(head_model, tf.data.Dataset.from_tensors(self._held_out))


def pooled(model: keras.Model) -> keras.KerasTensor:
    """What the head of `model` starts from: the features, behind their pool where there is one."""
    names = [layer.name for layer in model.layers]
    return model.get_layer("pool" if "pool" in names else "features").output


def _all(batches: tf.data.Dataset, compute: Callable) -> tuple[np.ndarray, ...]:
    """Features, labels and what else comes with the images, of all batches together."""
    parts = []
    for images, *more in batches:
        signals.check()
        parts.append((compute(images).numpy(), *(part.numpy() for part in more)))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
