"""The model of a run, without running anything that its files hold.

Its architecture comes from the code that the run's flags name, where that makes the very graph that the file describes,
and then the file gives nothing but numbers. What is not ours (a model made in Python, one of a plugin or of another version)
is built by Keras from the file's description, once that has been looked through.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.model_file import read_model_config, require_plain, require_whole
from keras_imgcls.core.run import Run
from keras_imgcls.core.weights_file import read_weights
from keras_imgcls.models import classifier

SPARE = 100_000  # numbers that a model may hold beyond those of its file, such as states of random generators
PASSING = {"trainable", "shared_object_id", "build_config"}  # what may differ between descriptions of one graph


def load_model(run: Run, trust_file: bool = False) -> keras.Model:
    """The model that a run saved.

    Args:
        run: the run.
        trust_file: whether code in its file may be run (`Lambda` and the like).

    Raises:
        UserError: there is none yet, or the file can't be loaded or asks for more than layers and numbers.
    """
    if not run.model.is_file():
        raise UserError(f"{run.path} has not saved a model yet: there is no {run.model.name}.")
    try:
        if trust_file:
            require_whole(run.model)
            return _by_keras(run, safe_mode=False)
        config, numbers = read_model_config(run.model)
        with _bounded(numbers + SPARE):
            model = _by_name(run, config)
        if model is None:
            require_plain(config, run.model, lambda name: keras.saving.get_registered_object(name) is not None)
            with _bounded(numbers + SPARE):
                model = _by_keras(run, safe_mode=True)
        return model
    except UserError as error:
        reason = str(error).replace(f"{run.model} ", "it ", 1)
        raise UserError(f"{run.model} can't be loaded: {reason}") from error


def _by_name(run: Run, config: dict[str, Any]) -> keras.Model | None:
    """The model that the run's flags name, with the file's numbers; None where the file describes another graph."""
    layers = {layer["config"].get("name"): layer["config"] for layer in config["config"]["layers"]}
    try:
        height, width, channels = layers["image"]["batch_shape"][1:]
        model = classifier.build(run.config.model, (height, width, channels), layers["logits"]["units"])
        scaling = model.get_layer("scaling")
        # Set as the file has them, since 1 / (1 / x) isn't always x; Keras reads them in each call.
        scaling.scale, scaling.offset = (_numbers(layers["scaling"][name]) for name in ("scale", "offset"))
    except (UserError, LookupError, TypeError, ValueError):
        return None
    ours = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    if _graph(config["config"]) != _graph(ours["config"]):
        return None
    shapes = {layer.name: [tuple(part.shape) for part in layer.weights] for layer in model.layers if layer.weights}
    for name, arrays in read_weights(run.model, shapes).items():
        model.get_layer(name).set_weights(arrays)
    return model


def _numbers(value: Any) -> float | list[float]:
    return [float(number) for number in value] if isinstance(value, list) else float(value)


def _graph(config: dict[str, Any]) -> Any:
    """A model's description without what doesn't change its function; layers are numbered, since names count up in a process."""
    numbers = {layer["config"].get("name"): f"layer {index}" for index, layer in enumerate(config["layers"])}

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: plain(value) for key, value in part.items() if key not in PASSING}
        if isinstance(part, list):
            return [plain(value) for value in part]
        return numbers.get(part, part) if isinstance(part, str) else part

    return {key: plain(config.get(key)) for key in ("layers", "input_layers", "output_layers")}


@contextlib.contextmanager
def _bounded(numbers: int) -> Iterator[None]:
    """Within the block variables may hold so many numbers in all; what is larger is refused before it is made."""
    left, shapes = numbers, tf.Graph()  # where no more than shapes are found out

    def create(make, **arguments):
        nonlocal left
        value = arguments["initial_value"]
        with shapes.as_default():
            shape = (value() if callable(value) else value).shape
        left -= math.prod(shape)
        if left < 0:
            raise UserError(f"it describes a model of more than the {numbers:,} numbers that may be in it.")
        return make(**arguments)

    with tf.variable_creator_scope(create):
        yield


def _by_keras(run: Run, safe_mode: bool) -> keras.Model:
    try:
        return keras.saving.load_model(run.model, compile=False, safe_mode=safe_mode)
    except UserError:
        raise
    except Exception as error:  # Keras raises whatever its many parts raise: ValueError, KeyError, OSError …
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{type(error).__name__}: {reason}") from error
