"""Layers and activations that compute what Keras' own do, faster. Only training views hold them; no saved file does."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

# The least epsilon of cuDNN. `tf.compat.v1.nn.fused_batch_norm` silently raises a smaller one to it, on a CPU too,
# where the operation takes any; so the operation is called directly here.
CUDNN_EPSILON = 1.001e-5


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of NHWC maps by TensorFlow's fused operation; Keras 3 composes it from a dozen.

    Statistics, scale and offset are float32, whatever the inputs are.
    """

    @classmethod
    def replaces(cls, layer: keras.Layer) -> bool:
        """Whether the fused operation computes what `layer` does."""
        return (
            type(layer) is keras.layers.BatchNormalization
            and layer.input_spec.ndim == 4
            and layer.axis in (-1, 3)
            and not layer.renorm
            and not layer.synchronized
            and (layer.epsilon >= CUDNN_EPSILON or not has_gpu())
        )

    def call(self, inputs, training=None, mask=None):
        """As Keras' own: statistics of the batch where `training` and not frozen, else the moving ones."""
        if mask is not None:
            return super().call(inputs, training=training, mask=mask)
        of_batch = bool(training and self.trainable)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value if self.scale else tf.ones_like(self.moving_mean.value),
            offset=self.beta.value if self.center else tf.zeros_like(self.moving_mean.value),
            mean=[] if of_batch else self.moving_mean.value,
            variance=[] if of_batch else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=of_batch,
        )
        if of_batch:
            # The operation gives the unbiased variance; Keras averages the biased one.
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
            self._average(self.moving_mean, mean)
            self._average(self.moving_variance, variance * (1 - 1 / count))
        return outputs

    def _average(self, moving: keras.Variable, of_batch: tf.Tensor) -> None:
        moving.assign(moving.value * self.momentum + of_batch * (1 - self.momentum))


class GroupedConv2D(keras.layers.Conv2D):
    """A grouped convolution without XLA, with which Keras compiles each: a hundred times slower on a CPU."""

    @classmethod
    def replaces(cls, layer: keras.Layer) -> bool:
        """Whether `layer` is a grouped convolution that TensorFlow can differentiate on a CPU."""
        return (
            type(layer) is keras.layers.Conv2D
            and layer.groups > 1
            and layer.data_format == "channels_last"
            and set(layer.dilation_rate) == {1}
        )

    def convolution_op(self, inputs, kernel):
        """The convolution alone, without bias and activation; each group by itself where TensorFlow has no other way."""
        parts = 1 if native_groups() else self.groups
        convolved = [
            tf.nn.conv2d(*part, self.strides, self.padding.upper())
            for part in zip(tf.split(inputs, parts, -1), tf.split(kernel, parts, -1), strict=True)
        ]
        return tf.concat(convolved, -1)


@functools.cache
def native_groups() -> bool:
    """Whether TensorFlow's own convolution takes groups, which it does with oneDNN and on GPUs only: tried once."""
    images, kernel = np.zeros((1, 3, 3, 4), "float32"), np.zeros((3, 3, 2, 4), "float32")
    try:
        with tf.init_scope():  # tried and not traced, wherever it is asked; only the gradient, this, isn't there always
            tf.nn.conv2d_transpose(images, kernel, images.shape, 1)
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        return False
    return True


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


# What `compiled` speeds up on a CPU, and how many times: forward and backward, 256 x 31 x 31 x 24, two Zen 5 cores.
# Elsewhere Keras' own are as fast; ReLU is best left to oneDNN.
WORTH_COMPILING = {
    "float32": {keras.activations.gelu: 3.1, keras.activations.hard_silu: 2.0},
    "mixed_bfloat16": {
        keras.activations.gelu: 3.5,
        keras.activations.silu: 3.2,
        keras.activations.hard_silu: 4.4,
        keras.activations.relu6: 3.7,
        keras.activations.mish: 1.5,
        keras.activations.selu: 2.0,
        keras.activations.tanh: 2.1,
    },
}


@functools.cache
def compiled(activation: Callable) -> Callable:
    """`activation` and its derivative as one XLA loop each, computed in float32 and rounded once.

    TensorFlow runs GELU as some ten passes over memory, in bfloat16 with a rounding after each. XLA is slow for
    convolutions on a CPU, but makes one pass of elementwise operations. It compiles a program per shape, in 0.1 s.
    """

    def value(x):
        return tf.cast(activation(tf.cast(x, tf.float32)), x.dtype)

    def gradient(x, upstream):
        x32 = tf.cast(x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x32)
            y = activation(x32)
        return tf.cast(tape.gradient(y, x32, tf.cast(upstream, tf.float32)), x.dtype)

    # Traced once for all shapes (though compiled for each).
    forward = tf.function(value, jit_compile=True, autograph=False, reduce_retracing=True)
    backward = tf.function(gradient, jit_compile=True, autograph=False, reduce_retracing=True)

    @tf.custom_gradient
    def function(x):
        return forward(x), lambda upstream: backward(x, upstream)

    return function
