"""Optimizers: `(learning rate or schedule, options) -> Keras optimizer`."""

import keras

from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.registry import OPTIMIZERS


@OPTIMIZERS.register(decay="l2")
def sgd(learning_rate, options: TrainingOptions):
    """SGD with Nesterov momentum; weight decay is L2 in the gradient, before momentum (Sutskever et al. 2013)."""
    return keras.optimizers.SGD(
        learning_rate,
        momentum=options.momentum,
        nesterov=options.momentum > 0,
        global_clipnorm=options.clip_norm or None,
    )


@OPTIMIZERS.register(decay="decoupled")
def adamw(learning_rate, options: TrainingOptions):
    """AdamW: weight decay apart from the gradient (Loshchilov & Hutter 2019)."""
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        beta_1=options.momentum,
        weight_decay=options.weight_decay,
        global_clipnorm=options.clip_norm or None,
    )
    return optimizer


def decays(variable) -> bool:
    """Whether weight decay applies: kernels have two axes or more, biases and the scales of norms have one."""
    return len(variable.shape) > 1
