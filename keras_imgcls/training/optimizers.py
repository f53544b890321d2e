"""Optimizers: `(learning rate or schedule, options) -> Keras optimizer`."""

from collections.abc import Sequence

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
    """Whether weight decay applies: kernels have two axes or more, biases and the scales of norms have one.

    ConvNeXt's scales of channels are kernels by their shape only.
    """
    return len(variable.shape) > 1 and "layer_scale" not in variable.path


def multiply_learning_rates(
    optimizer: keras.optimizers.Optimizer, multiples: Sequence[tuple[keras.Variable, float]]
) -> None:
    """Gives each of the variables a learning rate of its own, a multiple of the optimizer's."""
    if multiples:
        optimizer.__class__ = type(type(optimizer).__name__, (_Multiplied, type(optimizer)), {})
        optimizer.multiples = {optimizer._var_key(variable): multiple for variable, multiple in multiples}


class _Multiplied:
    """Before a Keras optimizer's own class: learning rates of variables, which decoupled weight decay follows too."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self._multiple(variable))

    def _apply_weight_decay(self, variables):
        whole = self.weight_decay
        for variable in variables if whole is not None else ():
            self.weight_decay = whole * self._multiple(variable)
            super()._apply_weight_decay([variable])
        self.weight_decay = whole

    def _multiple(self, variable) -> float:
        return self.multiples.get(self._var_key(variable), 1.0)
