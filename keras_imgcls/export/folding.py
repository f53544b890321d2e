"""Folding: a network as int8 computes it, in plain Keras: normalisations in the kernels before them, gates in their parts.

The answers stay the same (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2: statistics are those of
inference). What is left are layers that TFLite has as single operations, so that each result can get a range.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
FIRST_WEIGHTS = {
    layers.Conv2D: "kernel_initializer",
    layers.DepthwiseConv2D: "depthwise_initializer",
    layers.Dense: "kernel_initializer",
}


class Graph:
    """Who takes what in a functional model, however many other models its layers are in."""

    def __init__(self, model: keras.Model) -> None:
        """Walks through the nodes of `model` once."""
        self._takers, self._calls = defaultdict(list), Counter()
        for node in itertools.chain.from_iterable(model._nodes_by_depth.values()):
            self._calls[id(node.operation)] += 1
            for tensor in node.input_tensors:
                self._takers[id(tensor._keras_history.operation)].append(node.operation)
        self._last = {id(tensor._keras_history.operation) for tensor in model.outputs}

    def only_taker(self, operation: keras.Operation) -> keras.Operation | None:
        """What alone takes the result of `operation`, which is computed once; None where there is no such thing."""
        takers = self._takers[id(operation)]
        alone = len(takers) == self._calls[id(operation)] == 1 and id(operation) not in self._last
        return takers[0] if alone and self._calls[id(takers[0])] == 1 else None


def fold(model: keras.Model) -> keras.Model:
    """`model` as it is in inference, with weights of its own: no normalisation of maps, scaling or gate is left in it.

    A normalisation behind a convolution or dense layer goes into its kernel and bias; any other one of a map, and the
    scaling of pixels, become depthwise 1x1 convolutions. SiLU and hard sigmoid become operations that TFLite has.
    Dropout stays. Layers keep their names.

    Args:
        model: a functional model; models inside it stay as they are.
    """
    graph = Graph(model)
    norms = {
        id(layer): norm
        for layer in model.operations
        if type(layer) in WEIGHTED and _is_linear(layer) and _folds(norm := graph.only_taker(layer))
    }
    gone = {id(norm) for norm in norms.values()}
    weights: dict[str, list[np.ndarray]] = {}
    made: dict[int, Callable] = {}

    def replacement(layer: keras.Operation) -> Callable:
        if id(layer) in gone:
            return _same
        if id(layer) not in made:
            made[id(layer)] = _replacement(layer, norms.get(id(layer)), weights)
        return made[id(layer)]

    folded = keras.models.clone_model(model, clone_function=replacement, call_function=_call)
    for name, values in weights.items():
        folded.get_layer(name).set_weights(values)
    return folded


def twin(operation: keras.Operation) -> keras.Operation:
    """`operation` with its very state at another place in a graph."""
    other = object.__new__(type(operation))
    vars(other).update(vars(operation))
    vars(other).update(_inbound_nodes=[], _outbound_nodes=[])
    return other


def _call(operation: Callable, *args, **kwargs):
    return operation(*args, **{name: value for name, value in kwargs.items() if value is not None})  # such as `mask`


def _same(x):
    return x


def _replacement(layer: keras.Operation, norm: keras.Layer | None, weights: dict[str, list[np.ndarray]]) -> Callable:
    """What computes the same; the weights that it is to have are put into `weights`, by its name."""
    if type(layer) in WEIGHTED:
        weights[layer.name] = _kernel_and_bias(layer, norm)
        zeros = {FIRST_WEIGHTS[type(layer)]: "zeros", "activation": None, "use_bias": True}
        linear = type(layer).from_config({**layer.get_config(), **zeros})
        if _is_linear(layer):
            return linear
        return lambda x: _activation(layer.activation, f"{layer.name}_activation")(linear(x))
    if isinstance(layer, layers.Activation):
        return _activation(layer.activation, layer.name)
    if _is_affine(layer):
        scale, offset = _affine(layer, layer.output.shape[-1])
        if len(layer.output.shape) == 4:
            weights[layer.name] = [scale.reshape(1, 1, -1, 1), offset]
            learnt = type(layer) is not layers.Rescaling
            return layers.DepthwiseConv2D(1, depthwise_initializer="zeros", name=layer.name, trainable=learnt)
        return lambda x: x * scale + offset if offset.any() else x * scale
    if not isinstance(layer, keras.Layer):
        return twin(layer)
    weights[layer.name] = layer.get_weights()
    copy = type(layer).from_config(layer.get_config())
    for part in copy._flatten_layers():
        if isinstance(part, layers.BatchNormalization):
            part.trainable = False  # and so by its statistics
    return copy


def _activation(function: Callable, name: str) -> Callable:
    """A function of tensors that is made of operations of TFLite; hard SiLU and GELU are such as they are."""
    if function is keras.activations.silu:
        return lambda x: layers.Multiply(name=name)([x, layers.Activation("sigmoid", name=f"{name}_gate")(x)])
    if function is keras.activations.hard_sigmoid:
        return lambda x: layers.Activation("relu6", name=name)(x + 3.0) * (1 / 6)
    return layers.Activation(function, name=name)


def _is_linear(layer: keras.Layer) -> bool:
    return layer.activation in (None, keras.activations.linear)


def _folds(norm: keras.Operation | None) -> bool:
    """Whether `norm` is a normalisation over the last axis, whose statistics are numbers for each channel."""
    return type(norm) is layers.BatchNormalization and norm.axis in (-1, len(norm.output.shape) - 1)


def _is_affine(layer: keras.Operation) -> bool:
    return type(layer) is layers.Rescaling or _folds(layer)


def _affine(layer: keras.Layer, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of each channel by a normalisation or a rescaling."""
    if type(layer) is layers.Rescaling:
        return tuple(np.broadcast_to(np.float32(x), channels).copy() for x in (layer.scale, layer.offset))
    scale = 1 / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
    if layer.scale:
        scale = scale * layer.gamma.numpy()
    offset = -layer.moving_mean.numpy() * scale
    return scale, offset + layer.beta.numpy() if layer.center else offset


def _kernel_and_bias(layer: keras.Layer, norm: keras.Layer | None) -> list[np.ndarray]:
    kernel, *bias = layer.get_weights()
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    channels = kernel.shape[-1] * (kernel.shape[-2] if depthwise else 1)
    bias = bias[0] if bias else np.zeros(channels, np.float32)
    if norm is None:
        return [kernel, bias]
    scale, offset = _affine(norm, channels)
    return [kernel * (scale.reshape(kernel.shape[-2:]) if depthwise else scale), bias * scale + offset]
