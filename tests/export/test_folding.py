"""Folding leaves every answer as it is, and takes out what int8 has no operation for. Over the registry, by name."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_imgcls.export import fake_quantization
from keras_imgcls.export.folding import fold
from tests.conformance.test_models import DEEP, NARROW, build, images

QUICK = ("mobilenet_v2", "densenet_bc_100")  # normalisations behind, and in front of, convolutions
REST = sorted(NARROW.keys() - DEEP - {"resnet32"} - set(QUICK))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)])
def test_every_network_folds_rounds_and_learns(name):
    model, pixels = lively(build(name)), images((32, 32, 3))
    folded = fold(model)
    expected = model(pixels, training=False).numpy()
    np.testing.assert_allclose(folded(pixels, training=False), expected, atol=1e-5 * np.abs(expected).max(), rtol=0)
    assert not any(isinstance(layer, (layers.BatchNormalization, layers.Rescaling)) for layer in folded.layers)
    view = fake_quantization.fake_quantized(folded)
    fake_quantization.calibrate(view, pixels.astype(np.uint8))
    with fake_quantization.mode(view, kernels=False, results=fake_quantization.OFF):
        # Equal bits; groups, which Keras convolves by XLA and the view by oneDNN, to rounding.
        atol = 1e-5 * np.abs(expected).max() if any(getattr(layer, "groups", 1) > 1 for layer in model.layers) else 0
        np.testing.assert_allclose(view(pixels, training=False), folded(pixels, training=False), atol=atol, rtol=0)
    with tf.GradientTape() as tape:
        answers = view(pixels, training=False)
        loss = tf.reduce_sum(tf.nn.log_softmax(answers)[:, 0])
    gradients = tape.gradient(loss, [variable.value for variable in view.trainable_variables])
    for variable, gradient in zip(view.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path
    assert not np.array_equal(answers, expected)
    assert np.abs(answers.numpy() - expected).max() < 0.25 * np.abs(expected).max()


def lively(model):
    """`model` with statistics, scales and offsets as after a training."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for variable in layer.weights:
                positive = "gamma" in variable.path or "variance" in variable.path
                variable.assign(
                    random.uniform(0.5, 1.5, variable.shape) if positive else random.normal(0, 0.2, variable.shape)
                )
    return model


def test_the_model_keeps_its_weights_and_its_graph():
    model = build("plain_cnn")
    before = model.get_weights()
    folded = fold(model)
    for variable in folded.trainable_variables:
        variable.assign(variable + 1)
    assert all(map(np.array_equal, model.get_weights(), before))
    assert fold(model).get_layer("logits").kernel.shape == model.get_layer("logits").kernel.shape


def test_what_two_layers_take_is_not_folded_away():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, name="shared")(image)
    sums = layers.Add()([layers.BatchNormalization(name="norm")(x), x])
    twice = layers.Conv2D(4, 1, name="twice")
    y = layers.BatchNormalization()(twice(twice(sums)))
    model = lively(keras.Model(image, layers.Activation("silu")(y)))
    folded, pixels = fold(model), images((8, 8, 3)) / 255
    np.testing.assert_allclose(folded(pixels), model(pixels), atol=1e-5)
    assert type(folded.get_layer("norm")) is layers.DepthwiseConv2D


def test_an_activation_inside_a_layer_comes_out_of_it():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="silu", name="inside")(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.Flatten()(layers.Activation("hard_sigmoid")(x))
    model = lively(keras.Model(image, layers.Dense(3, activation="tanh")(x)))
    folded, pixels = fold(model), images((8, 8, 3)) / 255
    np.testing.assert_allclose(folded(pixels), model(pixels), atol=1e-5)
    assert folded.get_layer("inside").activation is keras.activations.linear
