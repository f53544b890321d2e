"""Models: which there are, and what one of them costs."""

import re

from keras_imgcls import startup
from keras_imgcls.core.config import ModelsConfig
from keras_imgcls.core.console import note, table
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.spec import parse_call

USAGE = """List the models, or tell what one of them costs.

  bin/models list
  bin/models list resnet
  bin/models info "resnet20(width=32)" --image_size=64 --classes=5"""
CONFIG = ModelsConfig
ACTIONS = ("list", "info")


def run(config: ModelsConfig, action: str, argument: str) -> int:
    """Prints names with summaries (those that hold `argument`), or the size and the cost of the model `argument`."""
    load_plugins(config.plugin)
    note(overview(argument) if action == "list" else information(config, argument))
    return 0


def overview(part: str) -> str:
    """A table of the models whose names hold `part`; Keras is not imported for it.

    Raises:
        UserError: there is none.
    """
    names = [name for name in MODELS.names() if part in name]
    if not names:
        MODELS.require(part)
    names.sort(key=lambda name: re.sub(r"\d+", lambda digits: digits[0].zfill(9), name))  # resnet20 before resnet110
    return table([(name, MODELS.summary(name)) for name in names], ("model", "what it is"))


def information(config: ModelsConfig, model: str) -> str:
    """Tables of parameters, multiply-adds and landmark shapes of `model` at the size in `config`.

    Raises:
        UserError: no model is named, an unknown one, or one that doesn't take images of that size.
    """
    if not model:
        raise UserError("Which model? bin/models info resnet20")
    MODELS.check(parse_call(model))  # answers before Keras is imported
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.models import classifier

    shape = (config.image_size, config.image_size, config.channels)
    described = classifier.describe(classifier.build(model, shape, config.classes))
    costs = [
        ("parameters", f"{described.parameters:,}"),
        ("of them trained", f"{described.trainable_parameters:,}"),
        ("weights in float32", f"{described.parameters * 4 / 2**20:,.1f} MiB"),
        ("multiply-adds an image", f"{described.macs:,}"),
    ]
    maps = [(name, " x ".join(map(str, shape))) for name, shape in described.landmarks.items()]
    heading = f"{model} at {' x '.join(map(str, shape))}, {config.classes} classes"
    return f"{heading}\n\n{table(costs)}\n\n{table(maps, ('landmark', 'output'))}"
