"""Validation while training: loss and accuracy of a model as it stands, on batches that are gone through each time."""

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core import signals
from keras_imgcls.data.tuner import without_tuner
from keras_imgcls.training.acceleration import accelerate


class Validator:
    """Gives `val_loss` (cross-entropy, nats), `val_accuracy` and `val_balanced_accuracy` of a model as it stands.

    Attributes:
        batches: of (images, labels, …), gone through at each call; None: the call gives nothing.
    """

    def __init__(self, model: keras.Model, batches: tf.data.Dataset | None) -> None:
        """Stores both; nothing is traced before the first call."""
        self.batches = without_tuner(batches) if batches is not None else None
        self._view = accelerate(model) if batches is not None else None  # in float32, as the model that is saved
        self._totals = tf.function(self._compute, autograph=False, reduce_retracing=True)

    def __call__(self) -> dict[str, float]:
        """The numbers of all batches together."""
        if self.batches is None:
            return {}
        loss, right, count = 0.0, np.zeros(()), np.zeros(())  # the last two of each class
        for images, labels, *_ in self.batches:
            signals.check()
            batch_loss, batch_right, batch_count = self._totals(images, labels)
            loss, right, count = loss + float(batch_loss), right + batch_right.numpy(), count + batch_count.numpy()
        recalls = (right / np.maximum(count, 1))[count > 0]
        return {
            "val_loss": float(loss / count.sum()),
            "val_accuracy": float(right.sum() / count.sum()),
            "val_balanced_accuracy": float(recalls.mean()),
        }

    def _compute(self, images, labels):
        logits = self._view(tf.cast(images, tf.float32), training=False)
        losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        right = tf.cast(tf.equal(tf.argmax(labels, axis=-1), tf.argmax(logits, axis=-1)), tf.float32)
        return tf.reduce_sum(losses), tf.linalg.matvec(labels, right, transpose_a=True), tf.reduce_sum(labels, axis=0)
