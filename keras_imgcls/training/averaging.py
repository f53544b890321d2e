"""Averages of the weights over the steps of a run, BatchNorm statistics included; updated inside the training step."""

import keras
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import AVERAGES


class Average:
    """A second set of values beside a model's variables, drawn after them step by step.

    Attributes:
        shadow: the averaged values, one variable for each of `variables`.
    """

    def __init__(self, every: int, decay, pulls_back: bool) -> None:
        """Stores how often it moves, its decay as a function `(updates, progress)`, and whether it replaces the weights."""
        self._every, self._decay, self._pulls_back = every, decay, pulls_back
        self.variables, self.shadow = [], []

    def build(self, variables) -> None:
        """Starts the average at the present values of `variables`."""
        self.variables = list(variables)
        self.shadow = [
            keras.Variable(value, trainable=False, name=f"average_{i}") for i, value in enumerate(self.variables)
        ]

    def begin(self) -> None:
        """Starts again at the present values of the variables."""
        for variable, shadow in zip(self.variables, self.shadow, strict=True):
            shadow.assign(variable.value)

    def update(self, step, progress) -> None:
        """Moves the average, in graph. `step` counts from 1, `progress` is the share of the run that is done."""
        tf.cond(step % self._every == 0, lambda: self._move(step // self._every, progress), lambda: False)

    def _move(self, updates, progress) -> bool:
        decay = self._decay(tf.cast(updates, tf.float32), tf.cast(progress, tf.float32))
        for variable, shadow in zip(self.variables, self.shadow, strict=True):
            shadow.assign(decay * shadow.value + (1.0 - decay) * variable.value)
            if self._pulls_back:
                variable.assign(shadow.value)
        return True

    def swap(self) -> None:
        """Exchanges the weights and their average; a second call puts them back."""
        for variable, shadow in zip(self.variables, self.shadow, strict=True):
            value = tf.identity(variable.value)
            variable.assign(shadow.value)
            shadow.assign(value)


@AVERAGES.register
def ema(decay=0.999):
    """Exponential moving average; early on the decay is (1 + t) / (10 + t), so that the start is forgotten."""
    _require("ema", decay=decay)
    return Average(1, lambda updates, _: tf.minimum(decay, (1.0 + updates) / (10.0 + updates)), pulls_back=False)


@AVERAGES.register
def lookahead(every=5, decay=0.95):
    """Lookahead (Zhang et al. 2019) as in the CIFAR-10 speed runs (Jordan 2024): every few steps the weights return to
    an average whose decay grows as `decay**every * progress**3`."""
    _require("lookahead", decay=decay)
    if not isinstance(every, int) or every < 1:
        raise UserError(f"lookahead takes every of at least 1; received {every!r}.")
    return Average(every, lambda _, progress: decay**every * progress**3, pulls_back=True)


def _require(name: str, decay: float) -> None:
    if not isinstance(decay, (int, float)) or not 0 <= decay < 1:
        raise UserError(f"{name} takes a decay of at least 0 and below 1; received {decay!r}.")
