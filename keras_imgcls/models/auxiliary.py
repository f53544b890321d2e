"""Auxiliary heads: classifiers halfway up a deep network, which bring gradients there and are there in training only.

A body names its taps and what stands on them where it is registered (trait `auxiliary`). At 1000 classes and 224 px those
of `inception_v1` make 13,378,280 parameters of 6,998,552 (Caffe's `bvlc_googlenet`), of `inception_v1_bn` 13,004,888
(torchvision).
"""

import keras
from keras import layers

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.spec import parse_call
from keras_imgcls.models import blocks


def with_heads(model: keras.Model, spec: str) -> keras.Model:
    """A view of `model` that gives its logits and then those of the auxiliary heads; it shares layers and weights.

    Args:
        model: what `classifier.build` gave for `spec`; it stays as it is.
        spec: a model with the trait `auxiliary`, with arguments if you like.

    Raises:
        UserError: the model has no auxiliary heads.
    """
    call = parse_call(spec)
    require(call.name)
    given = dict(zip(MODELS.arguments(call.name), call.args, strict=False)) | call.kwargs
    taps, body = MODELS.traits(call.name)["auxiliary"]
    outputs = [model.output]
    for number, tap in enumerate(taps, 1):
        name = f"auxiliary{number}"
        x = body(model.get_layer(tap).output, given.get("width", 1.0), name=name)
        outputs.append(layers.Dense(model.output.shape[-1], name=f"{name}_logits")(x))
    return keras.Model(model.input, outputs, name=model.name)


def require(name: str) -> None:
    """Raises UserError where the model `name` has no auxiliary heads; imports nothing."""
    known = MODELS.declaring("auxiliary")
    if name not in known:
        raise UserError(f"{name} has no auxiliary heads for --auxiliary_weight. These have: {', '.join(known)}.")


def inception_v1(x: keras.KerasTensor, width: float, *, name: str, normalized: bool = False) -> keras.KerasTensor:
    """1024 numbers, 70 % of which are dropped (Szegedy et al. 2014, section 5)."""
    x = _pool(x, name=name)
    x = _convolution(x, 128 * width, 1, normalized=normalized, name=name, number=1)
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(max(1, round(1024 * width)), kernel_initializer="he_normal", name=f"{name}_dense")(x)
    x = blocks.activation(x, "relu", name=f"{name}_dense_relu")
    return layers.Dropout(0.7, name=f"{name}_dropout")(x)


def inception_v1_bn(x: keras.KerasTensor, width: float, *, name: str) -> keras.KerasTensor:
    """The same with a batch normalisation, as torchvision has it."""
    return inception_v1(x, width, name=name, normalized=True)


def inception_v3(x: keras.KerasTensor, width: float, *, name: str) -> keras.KerasTensor:
    """768 numbers; the second convolution spans what the pool leaves (Szegedy et al. 2015, figure 8; TF-Slim)."""
    x = _convolution(_pool(x, name=name), 128 * width, 1, scale=False, name=name, number=1)
    x = _convolution(x, 768 * width, min(5, *x.shape[1:3]), scale=False, name=name, number=2)
    return layers.GlobalAveragePooling2D(name=f"{name}_average")(x)


def _pool(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    return layers.AveragePooling2D(min(5, *x.shape[1:3]), 3, name=f"{name}_pool")(x)


def _convolution(
    x: keras.KerasTensor,
    filters: float,
    kernel_size: int,
    *,
    normalized: bool = True,
    scale: bool = True,
    name: str,
    number: int,
) -> keras.KerasTensor:
    conv = f"{name}_conv{number}"
    x = blocks.convolution(x, max(1, round(filters)), kernel_size, padding="valid", use_bias=not normalized, name=conv)
    if normalized:
        x = blocks.normalization(x, scale=scale, epsilon=1e-3, name=f"{name}_norm{number}")
    return blocks.activation(x, "relu", name=f"{name}_relu{number}")
