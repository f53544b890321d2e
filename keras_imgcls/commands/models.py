"""Models: which there are, what one of them costs, and how fast they are here."""

import os
import re
import sys

from keras_imgcls import startup
from keras_imgcls.core.config import ModelsConfig
from keras_imgcls.core.console import note, table
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.spec import parse_call, parse_choice

USAGE = """List the models, tell what one of them costs, or how fast they are on this machine.

  bin/models list
  bin/models list resnet
  bin/models info "resnet20(width=32)" --image_size=64 --num_classes=5
  bin/models benchmark "resnet20,mobilenet_v2(width=0.5)" --image_size=96 --batch_size=64"""
CONFIG = ModelsConfig
ACTIONS = ("list", "info", "benchmark")


def run(config: ModelsConfig, action: str, argument: str) -> int:
    """Prints names with summaries (those that hold `argument`), costs or speeds of the model `argument`."""
    load_plugins(config.plugin)
    if action == "list":
        note(overview(argument))
    else:
        note(information(config, argument) if action == "info" else benchmark(config, argument))
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
    """Tables of what `model` costs at the size in `config`, and of its layers.

    Raises:
        UserError: no model is named, an unknown one, or one that doesn't take images of that size.
    """
    if not model:
        raise UserError("Which model? bin/models info resnet20")
    MODELS.check(parse_call(model))  # answers before Keras is imported
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.models import classifier, costs

    shape = (config.image_size, config.image_size, config.channels)
    built = classifier.build(model, shape, config.num_classes)
    described, sizes = classifier.describe(built), costs.tflite_bytes(built)
    rows = [
        ("parameters", f"{described.parameters:,}", f"{_mib(described.parameters * 4)} in float32"),
        ("of them trained", f"{described.trainable_parameters:,}", ""),
        ("multiply-adds (MACs)", f"{described.macs:,}", "an image, of convolutions and dense layers"),
        ("FLOPs", f"{2 * described.macs:,}", "two a multiply-add"),
        ("activations, inference", _mib(costs.inference_memory(built)), "an image in float32, what is alive at once"),
        ("activations, training", _mib(costs.training_memory(built)), "an image in float32, all that layers give"),
        ("TFLite file, float32", _mib(sizes[0]), "estimated"),
        ("TFLite file, int8", _mib(sizes[1]), "estimated"),
    ]
    layers = [
        (layer.name, layer.kind, _shape(layer.output), f"{layer.parameters:,}", f"{layer.macs:,}")
        for layer in costs.by_layer(built)
    ]
    heading = f"{model} at {_shape(shape)}, {config.num_classes} classes"
    header = ("layer", "type", "output", "parameters", "multiply-adds")
    return f"{heading}\n\n{table(rows)}\n\n{table(layers, header)}"


def benchmark(config: ModelsConfig, models: str) -> str:
    """A table of images/s of `models` (specs with commas between) in training and in inference, on this machine.

    Raises:
        UserError: no model is named, an unknown one, or one that doesn't take images of that size.
    """
    if not models:
        raise UserError("Which models? bin/models benchmark resnet20,mobilenet_v2")
    names = [str(MODELS.check(call)) for call in parse_choice(f"choice({models})")]
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.experiment.environment import environment
    from keras_imgcls.inference import speed
    from keras_imgcls.models import classifier

    shape = (config.image_size, config.image_size, config.channels)
    print(f"{config.rounds} rounds of {len(names)} models …", file=sys.stderr, flush=True)
    built = {name: classifier.build(name, shape, config.num_classes) for name in names}
    rows = [
        (
            measured.model,
            measured.task,
            _rate(measured.median),
            f"{_rate(measured.least)} to {_rate(measured.greatest)}",
        )
        for measured in speed.compare(built, config.batch_size, config.rounds)
    ]
    here = environment()
    heading = (
        f"{_shape(shape)}, batches of {config.batch_size}, {config.num_classes} classes; median and range of "
        f"{config.rounds} rounds\n{os.cpu_count()} cores, {here['platform']}, TensorFlow {here['tensorflow']}, "
        f"Keras {here['keras']}"
    )
    return f"{heading}\n\n{table(rows, ('model', 'task', 'images/s', 'range'))}"


def _shape(sizes: tuple[int | None, ...]) -> str:
    return " x ".join("?" if size is None else str(size) for size in sizes)


def _mib(size: float) -> str:
    return f"{size / 2**20:,.2f} MiB"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
