"""From a body to a classifier: input, scaling, the body's graph, head and names, put on once for every family."""

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_imgcls.core.arguments import bind
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.spec import Call, parse_call
from keras_imgcls.models import blocks

LANDMARK = re.compile(r"image|stem|stage\d+|features|pool|logits")
COUNTED = (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)

# What a body may say about itself where it is registered.
TRAITS = {
    "smallest": 1,  # the least height and width, pixels, that it can take
    "pool": "average",  # or "max": what makes a vector of its feature map
    "head_bias": True,
    "logit_scale": 1.0,
    "auxiliary": None,  # (names of layers, (tensor, width, name=…) -> vector): taps and what heads on them begin with
    "initialize": None,  # (model, images) -> None: sets weights from training images before the first step
}


@dataclass(frozen=True)
class Description:
    """What a model is and costs: parameters, multiply-adds of one image, shapes (without batch) at its landmarks."""

    parameters: int
    trainable_parameters: int
    macs: int
    landmarks: dict[str, tuple[int | None, ...]]


def build(
    model: str,
    image_shape: tuple[int, int, int],
    classes: int,
    scaling: str | tuple[Sequence[float], Sequence[float]] = "symmetric",
) -> keras.Model:
    """A classifier: float32 pixels in, float32 logits out, one flat functional graph of plain Keras layers.

    Its landmarks are `image`, `stem`, `stage1` …, `features` (what the body gives), `pool` (where that is a map) and
    `logits`. It is float32 whatever precision Keras is set to; `training.acceleration` makes the fast view of it.

    Args:
        model: a registered body with its arguments: `resnet20(width=32)`.
        image_shape: height, width, channels.
        classes: number of logits.
        scaling: how pixels (0 to 255) are scaled inside the graph: `symmetric` (to -1 … 1), or mean and standard
            deviation in grey levels, one number per channel each.

    Raises:
        UserError: an unknown model or argument, a value or an image size that the body can't take.
    """
    call = MODELS.check(parse_call(model))
    body, traits = MODELS.get(call.name), _traits(call.name)
    arguments = bind(body, call, MODELS.hidden)
    _check_sizes(call, image_shape, classes, traits["smallest"])
    with _float32_policy():
        image = keras.Input(image_shape, name="image", dtype="float32")
        x = body(_scale(image, scaling), **arguments)
        logits = _head(blocks.landmark(x, "features"), classes, traits)
        return keras.Model(image, logits, name=_graph_name(call))


def initialize(model: keras.Model, spec: str, images: np.ndarray) -> None:
    """Sets what `spec`'s body takes from training images before the first step; for most bodies nothing.

    Args:
        model: what `build` gave for `spec`.
        images: uint8 training images of shape (n, height, width, channels); 5,000 are enough.
    """
    from_images = _traits(parse_call(spec).name)["initialize"]
    if from_images:
        from_images(model, images)


def backbone(model: keras.Model) -> keras.Model:
    """A view of the graph from `image` to `features`: it shares layers and weights with `model`."""
    return keras.Model(model.input, model.get_layer("features").output, name=f"{model.name}-backbone")


def landmarks(model: keras.Model) -> list[str]:
    """The names of the landmarks that `model` has, in the order of the graph."""
    return [layer.name for layer in model.layers if LANDMARK.fullmatch(layer.name)]


def describe(model: keras.Model) -> Description:
    """Parameters, multiply-adds and landmark shapes of a functional model.

    Multiply-adds are those of convolutions and dense layers, as papers count them: normalisation, activation, pooling
    and additions (some percent) are left out. Where the graph leaves a size open, it counts as 1.
    """
    return Description(
        parameters=model.count_params(),
        trainable_parameters=sum(math.prod(variable.shape) for variable in model.trainable_variables),
        macs=multiply_adds(model),
        landmarks={name: model.get_layer(name).output.shape[1:] for name in landmarks(model)},
    )


def multiply_adds(layer: keras.Layer) -> int:
    if isinstance(layer, keras.Model):
        return sum(multiply_adds(inner) for inner in layer.layers)
    if not isinstance(layer, COUNTED):
        return 0
    kernels = [variable for variable in layer.weights if variable.name.endswith("kernel")]
    positions = math.prod(size or 1 for size in layer.output.shape[1:-1])
    return positions * sum(math.prod(kernel.shape) for kernel in kernels)


def _head(features: keras.KerasTensor, classes: int, traits: dict[str, Any]) -> keras.KerasTensor:
    x = features
    if len(x.shape) == 4:
        pool = {"average": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}[traits["pool"]]
        x = pool(name="pool")(x)
    if traits["logit_scale"] != 1:
        x = layers.Rescaling(traits["logit_scale"], name="logit_scale")(x)
    # PyTorch's default for heads, within 1 / sqrt(fan_in): small logits, so that the first loss is near log(classes).
    initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    return layers.Dense(classes, use_bias=traits["head_bias"], kernel_initializer=initializer, name="logits")(x)


def _scale(image: keras.KerasTensor, scaling: str | tuple[Sequence[float], Sequence[float]]) -> keras.KerasTensor:
    if scaling == "symmetric":
        return layers.Rescaling(1 / 127.5, -1.0, name="scaling")(image)
    mean, deviation = _channel_statistics(scaling, image.shape[-1])
    scale = [1 / value for value in deviation]
    offset = [-center / value for center, value in zip(mean, deviation, strict=True)]
    return layers.Rescaling(scale, offset, name="scaling")(image)


def _channel_statistics(scaling: Any, channels: int) -> tuple[list[float], list[float]]:
    try:
        mean, deviation = ([float(value) for value in values] for values in scaling)
    except (TypeError, ValueError):
        mean, deviation = [], []
    if len(mean) != channels or len(deviation) != channels or not min(deviation) > 0:
        raise UserError(
            f"Scaling is 'symmetric' or (means, standard deviations above 0), {channels} of each; received {scaling!r}."
        )
    return mean, deviation


def _traits(name: str) -> dict[str, Any]:
    given = MODELS.traits(name)
    for trait in given:
        if trait not in TRAITS:
            raise UserError(f"{name} is registered with the unknown trait '{trait}'.{nearest(trait, TRAITS)}")
    return TRAITS | given


def _check_sizes(call: Call, image_shape: tuple[int, int, int], classes: int, smallest: int) -> None:
    if min(image_shape[:2]) < smallest:
        height, width = image_shape[:2]
        raise UserError(f"{call.name} takes images of {smallest} pixels or more; received {height}x{width}.")
    if classes < 1:
        raise UserError(f"A classifier has one class or more; received {classes}.")


def _graph_name(call: Call) -> str:
    """`resnet20-width-32`: TensorFlow refuses to export a graph whose name has brackets or quotes."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", str(call)).strip("-")


@contextlib.contextmanager
def _float32_policy() -> Iterator[None]:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
