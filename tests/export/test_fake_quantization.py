"""Fake quantization: rounding by an independent formula, ranges that follow and freeze, gradients that pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_imgcls.export import fake_quantization
from keras_imgcls.export.fake_quantization import FakeQuantization, rounded
from keras_imgcls.export.folding import fold
from tests.conformance.test_models import build, images


@pytest.mark.parametrize(("shape", "axes"), [((3, 3, 4, 8), 1), ((3, 3, 4, 2), 2), ((6, 5), 1)])
def test_kernels_are_rounded_per_channel_and_symmetric(shape, axes):
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    kernel[..., -1] *= 100  # of which the other channels take no notice
    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - axes)), keepdims=True) / 127
    np.testing.assert_allclose(rounded(kernel, axes), np.round(kernel / scale) * scale, rtol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(variable := tf.constant(kernel))
        total = tf.reduce_sum(rounded(variable, axes) * 3)
    np.testing.assert_array_equal(tape.gradient(total, variable), np.full(shape, 3, np.float32))


def test_a_channel_of_zeros_stays_zero():
    np.testing.assert_array_equal(rounded(np.zeros((3, 3, 2, 4), np.float32)), np.zeros((3, 3, 2, 4)))


def test_ranges_follow_the_batches_until_they_are_frozen():
    image = keras.Input((4,))
    model = keras.Model(image, FakeQuantization()(image))
    (layer,) = fake_quantization.ranges(model)
    layer.low.assign(-1.0)
    layer.high.assign(1.0)
    batch = tf.constant([[-3.0, 0.0, 0.5, 5.0]])
    assert model(batch, training=False).numpy().max() == pytest.approx(1, abs=0.01)
    assert float(layer.low) == -1
    model(batch, training=True)
    assert (float(layer.low), float(layer.high)) == pytest.approx((-1.02, 1.04))
    fake_quantization.freeze(model)
    model(batch, training=True)
    assert (float(layer.low), float(layer.high)) == pytest.approx((-1.02, 1.04))


def test_calibration_finds_the_extremes_and_the_input_is_grey_levels():
    view = fake_quantization.fake_quantized(folded := fold(build("plain_cnn")))
    pixels = images((32, 32, 3), 70)
    fake_quantization.calibrate(view, pixels.astype(np.uint8))
    first, *_, last = fake_quantization.ranges(view)
    assert (float(first.low), float(first.high)) == (0, 255)
    logits = folded(pixels).numpy()
    assert (float(last.low), float(last.high)) == pytest.approx((min(logits.min(), 0), max(logits.max(), 0)), rel=1e-4)


def test_a_relu_is_rounded_once_with_what_it_follows():
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(image)
    x = layers.ReLU(6, name="relu")(x)
    y = layers.Conv2D(4, 3, name="split")(x)
    z = layers.Add(name="sum")([layers.ReLU(name="one")(y), y])
    view = fake_quantization.fake_quantized(fold(keras.Model(image, layers.MaxPooling2D(name="pool")(z))))
    names = {layer.name for layer in fake_quantization.ranges(view)}
    assert names == {"image_range", "relu_range", "split_range", "one_range", "sum_range"}
