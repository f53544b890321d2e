"""Fake quantization: a network that computes in float what int8 will, so that training can learn to live with it.

Kernels are rounded per channel, symmetric, to -127 … 127; results to 256 levels of a range that holds 0. Gradients go
straight through the rounding (Jacob et al. 2018, https://arxiv.org/abs/1712.05877; Krishnamoorthi 2018,
https://arxiv.org/abs/1806.08342). TFLite's converter takes the ranges as they are, and finds those of kernels itself.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_imgcls.export.folding import WEIGHTED, Graph, twin
from keras_imgcls.training.fast_layers import GroupedConv2D

MOMENTUM = 0.99  # of a range, from batch to batch
PIXELS, GATE = (0.0, 255.0), (0.0, 255 / 256)  # grey levels as they are; TFLite's only range for a sigmoid
# What only moves numbers, or picks among them, has the range of its input, and so has a mean over a window.
KEEPING = {
    "AveragePooling2D", "Cast", "Dropout", "Flatten", "GetItem", "GlobalMaxPooling2D", "Identity", "MaxPooling2D", "Pad",
    "Permute", "Reshape", "SpatialDropout2D", "Transpose", "ZeroPadding2D",
}  # fmt: skip
FUSING = ("Add", *(kind.__name__ for kind in WEIGHTED))  # TFLite has a ReLU behind these inside them

OFF, OBSERVE, ON = "off", "observe", "on"


class FakeQuantization(layers.Layer):
    """Rounds a result to 256 levels of its range, which in training follows the batches until it is frozen.

    Attributes:
        mode: `on`, `off`, or `observe`: nothing is rounded, and the range grows to hold what comes.
    """

    def __init__(self, fixed: tuple[float, float] | None = None, **options) -> None:
        """`fixed` is a range that nothing changes."""
        super().__init__(trainable=False, **options)
        self.fixed, self.mode = fixed, ON

    def build(self, input_shape) -> None:
        """Makes the range, empty unless it is fixed, and how fast it moves."""
        low, high = self.fixed or (0.0, 0.0)
        constant = keras.initializers.Constant
        self.low = self.add_weight(shape=(), initializer=constant(low), trainable=False, name="low")
        self.high = self.add_weight(shape=(), initializer=constant(high), trainable=False, name="high")
        momentum = 1.0 if self.fixed else MOMENTUM
        self.momentum = self.add_weight(shape=(), initializer=constant(momentum), trainable=False, name="momentum")

    def compute_output_spec(self, x, training=None):
        """That of `x`."""
        return keras.KerasTensor(x.shape, x.dtype)

    def call(self, x, training=None):
        """`x`, rounded."""
        if not self.fixed and self.mode == OBSERVE:
            self.low.assign(tf.minimum(self.low.value, tf.reduce_min(x)))
            self.high.assign(tf.maximum(self.high.value, tf.reduce_max(x)))
        if self.mode != ON:
            return x
        if training and not self.fixed:
            self._follow(self.low, tf.minimum(tf.reduce_min(x), 0.0))
            self._follow(self.high, tf.maximum(tf.reduce_max(x), 0.0))
        return tf.quantization.fake_quant_with_min_max_vars(x, self.low.value, self.high.value)

    def _follow(self, bound: keras.Variable, of_batch: tf.Tensor) -> None:
        bound.assign(bound.value * self.momentum.value + tf.stop_gradient(of_batch) * (1 - self.momentum.value))


class RoundedConv2D(layers.Conv2D):
    """A convolution with a rounded kernel."""

    rounds = True

    def convolution_op(self, inputs, kernel):
        """The convolution alone, without bias and activation."""
        return super().convolution_op(inputs, rounded(kernel) if self.rounds else kernel)


class RoundedGroupedConv2D(RoundedConv2D, GroupedConv2D):
    """The same in groups."""


class RoundedDepthwiseConv2D(layers.DepthwiseConv2D):
    """A depthwise convolution with a rounded kernel."""

    rounds = True

    def call(self, inputs):
        """As Keras' own, linear and with a bias."""
        kernel = rounded(self.kernel, axes=2) if self.rounds else self.kernel
        same = {"strides": self.strides, "padding": self.padding, "dilation_rate": self.dilation_rate}
        return ops.depthwise_conv(inputs, kernel, **same) + self.bias


class RoundedDense(layers.Dense):
    """A dense layer with a rounded kernel."""

    rounds = True

    def call(self, inputs, training=None):
        """As Keras' own, linear and with a bias."""
        return ops.matmul(inputs, rounded(self.kernel) if self.rounds else self.kernel) + self.bias


ROUNDED = {
    layers.Conv2D: RoundedConv2D,
    layers.DepthwiseConv2D: RoundedDepthwiseConv2D,
    layers.Dense: RoundedDense,
}


def rounded(kernel: tf.Tensor, axes: int = 1) -> tf.Tensor:
    """`kernel` with each channel (one of its last `axes` axes) at 255 levels, as far up as down, and 0 among them."""
    kernel = tf.convert_to_tensor(kernel)
    flat = tf.reshape(kernel, (-1, np.prod(kernel.shape[-axes:])))
    # A little more, or the largest weight would count as clipped where rounding falls so, and get no gradient.
    largest = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(flat), axis=0) * (1 + 1e-6), 1e-12))
    levels = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -largest, largest, narrow_range=True)
    return tf.reshape(levels, kernel.shape)


def fake_quantized(folded: keras.Model) -> keras.Model:
    """The network with every kernel and every result rounded; it shares the weights of `folded`, see `folding.fold`.

    Its ranges are empty: `calibrate` them.
    """
    graph = Graph(folded)
    places: dict[int, tuple[keras.Operation, FakeQuantization | None]] = {}

    def place(operation: keras.Operation):
        if id(operation) not in places:
            places[id(operation)] = _rounding_twin(operation), _range(graph, operation)
        return places[id(operation)]

    def call(placed, *args, **kwargs):
        operation, result_range = placed
        args = keras.tree.map_structure(lambda x: pixels if x is image else x, args)
        result = operation(*args, **kwargs)
        return result if result_range is None else result_range(result)

    image = keras.Input(folded.input_shape[1:], name=folded.inputs[0].name, dtype="float32")
    pixels = FakeQuantization(PIXELS, name=f"{image.name}_range")(image)
    return keras.models.clone_model(folded, input_tensors=image, clone_function=place, call_function=call)


def calibrate(view: keras.Model, images: np.ndarray, batch_size: int = 32) -> None:
    """Gives each range of `view` what it has to hold on `images` when nothing is rounded."""
    observe = tf.function(lambda batch: view(tf.cast(batch, tf.float32), training=False), autograph=False)
    with mode(view, kernels=False, results=OBSERVE):
        for start in range(0, len(images), batch_size):
            observe(images[start : start + batch_size])


def freeze(view: keras.Model) -> None:
    """Keeps the ranges as they are from now on."""
    for layer in ranges(view):
        layer.momentum.assign(1.0)


def ranges(view: keras.Model) -> list[FakeQuantization]:
    """Its layers that hold ranges."""
    return [layer for layer in view.layers if isinstance(layer, FakeQuantization)]


@contextlib.contextmanager
def mode(view: keras.Model, kernels: bool, results: str) -> Iterator[None]:
    """Within the block, what is traced rounds kernels or not, and results as `FakeQuantization.mode` says."""
    rounding = [layer for layer in view.layers if isinstance(layer, tuple(ROUNDED.values()))]
    for layer in rounding:
        layer.rounds = kernels
    for layer in ranges(view):
        layer.mode = results
    try:
        yield
    finally:
        for layer in rounding:
            layer.rounds = True
        for layer in ranges(view):
            layer.mode = ON


def _rounding_twin(operation: keras.Operation) -> keras.Operation:
    """The same operation over the same variables; its kernel is rounded."""
    other = twin(operation)
    if GroupedConv2D.replaces(operation):
        other.__class__ = RoundedGroupedConv2D
    elif type(operation) in ROUNDED:
        other.__class__ = ROUNDED[type(operation)]
    return other


def _range(graph: Graph, operation: keras.Operation) -> FakeQuantization | None:
    """What rounds the result of `operation`; None where that has a range already, or gets one in the next operation."""
    kind = type(operation).__name__
    if kind in KEEPING or (kind in FUSING and _is_relu(graph.only_taker(operation))):
        return None
    sigmoid = getattr(operation, "activation", None) is keras.activations.sigmoid
    return FakeQuantization(GATE if sigmoid else None, name=f"{operation.name}_range")


def _is_relu(operation: keras.Operation | None) -> bool:
    if isinstance(operation, layers.ReLU):
        return (operation.negative_slope, operation.threshold) == (0, 0) and operation.max_value in (None, 6)
    activations = (keras.activations.relu, keras.activations.relu6)
    return isinstance(operation, layers.Activation) and operation.activation in activations
