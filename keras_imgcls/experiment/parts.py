"""The parts of a training: made anew, or taken over from the training before it in the same process, as a search's workers do."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from keras_imgcls.core.config import AugmentOptions, DataOptions, TrainingOptions
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import OPTIMIZERS, SCHEDULES
from keras_imgcls.core.spec import parse_call
from keras_imgcls.data import readers
from keras_imgcls.data.samples import Samples
from keras_imgcls.training.fit import make_learner
from keras_imgcls.training.learner import Learner

# What surrounds a step, or comes to it as a variable.
OUTSIDE = {
    *(field.name for field in dataclasses.fields(AugmentOptions)), "tta", "tta_views", "mix", "mix_off_epoch",
    "epochs", "max_minutes", "learning_rate", "on_nan", "early_stopping", "monitor", "seed", "checkpoint_every",
}  # fmt: skip
OURS = "keras_imgcls."
STEP_OPTIONS = [field.name for field in dataclasses.fields(TrainingOptions) if field.name not in OUTSIDE]


def load_data(config: DataOptions, seed: int) -> Samples:
    """The samples that `config` names; needs at least one training image."""
    samples = readers.load(config, seed)
    if not len(samples.manifest.ids("train")):
        raise UserError(f"{samples.name} has no training images.")
    return samples


class Parts:
    """Makes each part anew."""

    def data(self, config: DataOptions, seed: int) -> Samples:
        """As `load_data`."""
        return load_data(config, seed)

    def network(self, built: keras.Model) -> keras.Model:
        """`built`, or a network equal to it in every weight and in how it computes."""
        return built

    learner = staticmethod(make_learner)


class KeptParts(Parts):
    """Keeps parts for the next training.

    Data is read once; a network takes the place of the next one like it, with the weights of that; and with the network stay
    its learners, whose steps are traced, which takes about a second for ResNet-20. What comes of a training is the same, bit
    for bit.
    """

    def __init__(self) -> None:
        """Holds nothing yet."""
        self._data = lru_cache(maxsize=1)(load_data)
        self._network: keras.Model | None = None
        self._learners: dict[tuple, Learner] = {}

    def data(self, config: DataOptions, seed: int) -> Samples:
        """As `load_data`, or what that gave last for the same flags of data."""
        names = [field.name for field in dataclasses.fields(DataOptions)]
        return self._data(DataOptions(**{name: getattr(config, name) for name in names}), seed)

    def network(self, built: keras.Model) -> keras.Model:
        """`built`, or the last one with its weights."""
        if self._network is None or _graph(self._network) != _graph(built):
            self._network, self._learners = built, {}
        elif self._network is not built:
            for variable, value in zip(self._network.variables, built.variables, strict=True):
                variable.assign(value)
        return self._network

    def learner(
        self,
        model: keras.Model,
        config: TrainingOptions,
        steps: int,
        class_weights: np.ndarray | None = None,
        augment: Callable | None = None,
        frozen: Sequence[keras.Layer] = (),
    ) -> Learner:
        """A new learner, or one that does the same step at the beginning of its training."""
        others = class_weights is not None or augment is not None
        if model is not self._network or others or not _reads_variables(config):
            return make_learner(model, config, steps, class_weights, augment, frozen)
        key = (_traced(config), steps, *map(id, frozen))
        if key in self._learners:
            self._learners[key].begin(config)
        else:
            self._learners[key] = make_learner(model, config, steps, frozen=frozen)
        return self._learners[key]


def _graph(model: keras.Model) -> str:
    """How `model` computes, its layers by number: names that Keras gives count what was built in this process."""
    numbers = {f'"{layer.name}"': f'"{number}"' for number, layer in enumerate(model.operations)}
    return re.sub(r'"[^"]*"', lambda text: numbers.get(text[0], text[0]), model.to_json())


def _reads_variables(config: TrainingOptions) -> bool:
    """Whether learning rate and weight decay are read at each step; a plugin may have taken their values once."""
    schedule = SCHEDULES.get(parse_call(config.schedule).name)
    return all(function.__module__.startswith(OURS) for function in (schedule, OPTIMIZERS.get(config.optimizer)))


def _traced(config: TrainingOptions) -> tuple[Any, ...]:
    """The options that stand in a traced step; of weight decay it has whether there is any."""
    options = {name: getattr(config, name) for name in STEP_OPTIONS}
    return tuple((options | {"weight_decay": bool(config.weight_decay)}).values())
