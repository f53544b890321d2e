"""The space as keras-tuner knows it, and a `HyperModel` for scripts of one's own."""

from typing import Any

import keras
import keras_tuner

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import OPTIMIZERS, SCHEDULES
from keras_imgcls.core.spec import parse_call
from keras_imgcls.models import classifier
from keras_imgcls.training.optimizers import decays
from keras_imgcls.tuning import grammar
from keras_imgcls.tuning.space import Parameter, Space


def hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """`space` as hyperparameters, conditions as conditional scopes; the first value of a choice is its default."""
    found = keras_tuner.HyperParameters()
    declare(space, found)
    return found


def declare(space: Space, found: keras_tuner.HyperParameters) -> None:
    """Adds the parameters of `space` to `found`, where they are not there yet."""
    by_name = {parameter.name: parameter for parameter in space.parameters}
    for parameter in space.parameters:
        _declare(parameter, by_name, found, parameter.condition)


def _declare(parameter: Parameter, by_name: dict[str, Parameter], found: Any, condition: Any) -> None:
    """Enters the scopes of the condition and of the conditions of its parent, outermost first."""
    scopes = []
    while condition:
        scopes.insert(0, (condition.name, list(condition.values)))
        condition = by_name[condition.name].condition
    _within(scopes, parameter, found)


def _within(scopes: list, parameter: Parameter, found: keras_tuner.HyperParameters) -> None:
    if scopes:
        with found.conditional_scope(*scopes[0]):
            _within(scopes[1:], parameter, found)
    elif parameter.kind == "choice":
        found.Choice(parameter.key, list(parameter.values))
    else:
        kind = found.Int if "int" in parameter.kind else found.Float
        sampling = "log" if parameter.logarithmic else "linear"
        kind(parameter.key, parameter.low, parameter.high, step=parameter.step, sampling=sampling)


class HyperModel(keras_tuner.HyperModel):
    """A classifier of this package with the flags of a search space as hyperparameters, for any tuner of keras-tuner.

        tuner = keras_tuner.Hyperband(keras_imgcls.HyperModel(SPACE, (32, 32, 3), 10, total_steps=3900), "val_accuracy")
        tuner.search(images, labels, validation_data=held_out)

    It searches what a plain `compile` and `fit` know: model, optimizer, learning rate, momentum, weight decay, schedule, label
    smoothing, clipping and (in `fit`) batch size. Augmentation, mixing, averaging and precision are the business of `bin/tune`.
    """

    FLAGS = (
        "model", "optimizer", "learning_rate", "momentum", "weight_decay", "schedule", "label_smoothing", "clip_norm",
        "batch_size",
    )  # fmt: skip

    def __init__(
        self, search: str, image_shape: tuple[int, int, int], classes: int, total_steps: int = 1000, **flags: Any
    ) -> None:
        """Parses `search`.

        Args:
            search: a space as `--search` takes it.
            image_shape: (height, width, channels) of the images, pixels 0-255.
            classes: the number of classes; labels are float vectors of that length.
            total_steps: training steps that the schedule of the learning rate spans.
            **flags: flags of `bin/train` that are the same in all trials.

        Raises:
            UserError: the space is wrong, or searches a flag that a plain `fit` does not have.
        """
        super().__init__(name="keras_imgcls")
        self._base = TrainConfig(**{"dataset": "digits", "learning_rate": 0.1, **flags})
        self._space = grammar.parse(search, self._base)
        for parameter in self._space.parameters:
            if parameter.name not in self.FLAGS:
                raise UserError(
                    f"A HyperModel can't search --{parameter.name}: bin/tune can. It knows {', '.join(self.FLAGS)}."
                )
        self._image_shape, self._classes, self._total_steps = image_shape, classes, total_steps

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Tells keras-tuner the whole space, conditions included, before the first build."""
        declare(self._space, hp)

    def config(self, hp: keras_tuner.HyperParameters) -> TrainConfig:
        """The flags that `hp` stands for."""
        declare(self._space, hp)
        return self._space.config(self._base, hp.values)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model from pixels 0-255 to logits."""
        config = self.config(hp)
        model = classifier.build(config.model, self._image_shape, self._classes)
        if config.weight_decay and OPTIMIZERS.traits(config.optimizer)["decay"] == "l2":
            for variable in filter(decays, model.trainable_variables):
                variable.regularizer = keras.regularizers.L2(config.weight_decay / 2)
        call = parse_call(config.schedule)
        rate = SCHEDULES.get(call.name)(config.learning_rate, self._total_steps, *call.args, **call.kwargs)
        optimizer = OPTIMIZERS.get(config.optimizer)(rate, config)
        if OPTIMIZERS.traits(config.optimizer)["decay"] == "decoupled":
            optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if not decays(v)])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing)
        model.compile(optimizer, loss, metrics=["accuracy"])
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *arguments: Any, **options: Any) -> Any:
        """`model.fit` with the batch size of `hp`, where it is searched or given."""
        size = self.config(hp).batch_size
        return model.fit(*arguments, **({"batch_size": size} if size else {}), **options)
