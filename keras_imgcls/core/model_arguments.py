"""Flags that are arguments of a model: `--dropout=0.2` says the same as `--model="resnet50(dropout=0.2)"`."""

import dataclasses
from typing import Any

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.spec import Call, parse_call

FLAGS = ("stem", "dropout", "stochastic_depth", "squeeze_excite")


def settle_model(config: Any) -> Any:
    """`config` with the flags that are arguments of its model written into `model`, and back at their defaults.

    Raises:
        UserError: the model does not take an argument, or `model` says something else than a flag.
    """
    flags = {field.name: field.default for field in dataclasses.fields(config) if field.name in FLAGS}
    given = {name: getattr(config, name) for name in flags if getattr(config, name) != flags[name]}
    if not given:
        return config
    call = MODELS.check(parse_call(config.model))
    takes = MODELS.arguments(call.name)
    said = dict(zip(takes, call.args, strict=False)) | call.kwargs
    for name, value in given.items():
        if name not in takes:
            raise UserError(f"{call.name} has no {name}, so --{name} can't set it. It takes: {', '.join(takes)}.")
        if name in said and value not in (said[name], str(said[name])):
            raise UserError(f"--model={config.model} and --{name}={value} say two things: give one.")
    added = {name: value for name, value in given.items() if name not in said}
    model = str(Call(call.name, call.args, call.kwargs | added))
    return dataclasses.replace(config, model=model, **flags)
