"""Losses: `(labels, logits) -> loss of each sample`. Labels are float vectors, so that mixing and smoothing are one path."""

import keras

from keras_imgcls.core.registry import LOSSES


@LOSSES.register
def cross_entropy(labels, logits):
    """Softmax cross-entropy of float `labels` and `logits`, both of shape (batch, classes), in nats: shape (batch,)."""
    return -keras.ops.sum(labels * keras.ops.log_softmax(logits, axis=-1), axis=-1)


def smooth(labels, amount: float):
    """`labels` with the share `amount` spread evenly over all classes (Szegedy et al. 2016, section 7)."""
    return labels * (1.0 - amount) + amount / labels.shape[-1] if amount else labels
