"""Costs: counted from the graph, and held against hand counts, TensorFlow's profiler and real files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_imgcls.models import classifier, costs


def convolution(x, filters):
    return layers.Conv2D(filters, 3, padding="same")(x)


@pytest.fixture
def image():
    return keras.Input((8, 8, 3))


def frozen(model):
    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    concrete = tf.function(lambda image: tf.nn.softmax(model(image, training=False)), autograph=False)
    return convert_variables_to_constants_v2(concrete.get_concrete_function(signature))


def test_the_rows_of_the_table_sum_to_the_whole():
    model = classifier.build("mobilenet_v2(width=0.1)", (32, 32, 3), 10)
    described, rows = classifier.describe(model), costs.by_layer(model)
    assert sum(row.parameters for row in rows) == described.parameters
    assert sum(row.macs for row in rows) == described.macs
    assert (rows[0].name, rows[-1].name, rows[-1].output) == ("image", "logits", (10,))


@pytest.mark.parametrize("name", ["resnet20(width=4)", "mobilenet_v2(width=0.1)", "densenet_bc_100(growth=4)"])
def test_two_flops_a_multiply_add_as_tensorflows_profiler_counts(name):
    model = classifier.build(name, (32, 32, 3), 10)
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    options = options.with_empty_output().with_accounted_types(["Conv2D", "DepthwiseConv2dNative", "MatMul"]).build()
    profile = tf.compat.v1.profiler.profile(frozen(model).graph, options=options, cmd="scope")
    assert 2 * classifier.describe(model).macs == profile.total_float_ops


def test_a_chain_holds_what_is_read_and_what_is_written(image):
    x = layers.ReLU()(layers.BatchNormalization()(convolution(image, 4)))
    model = keras.Model(image, convolution(x, 2))
    assert costs.inference_memory(model) == 4 * 64 * max(3 + 4, 4 + 2)
    assert costs.training_memory(model) == 4 * 64 * (4 + 4 + 4 + 2)


def test_a_shortcut_lives_until_it_is_added(image):
    x = convolution(image, 4)
    y = convolution(convolution(x, 6), 4)
    assert costs.inference_memory(keras.Model(image, layers.Add()([x, y]))) == 4 * 64 * (4 + 6 + 4)


def test_nothing_is_overwritten_that_is_read_again(image):
    x = convolution(image, 4)
    model = keras.Model(image, layers.Concatenate()([x, layers.ReLU()(x)]))
    assert costs.inference_memory(model) == 4 * 64 * (4 + 4 + 8)


def test_views_take_no_memory(image):
    x = layers.Dense(5)(layers.Flatten()(convolution(image, 4)))
    model = keras.Model(image, x)
    assert costs.inference_memory(model) == 4 * 64 * (3 + 4)
    assert costs.training_memory(model) == 4 * (64 * 4 + 5)


def trained_like(name, size):
    """A model whose constants all differ: the converter shares buffers of equal ones, and leaves zeros out."""
    model = classifier.build(name, (size, size, 3), 10)
    draw = np.random.default_rng(0)
    for variable in model.weights:
        if not variable.name.endswith("kernel"):
            variable.assign(variable + np.abs(draw.normal(0, 0.1, variable.shape)))
    return model


def converted(model, int8):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen(model)])
    if int8:
        images = np.random.default_rng(0).integers(0, 256, (2, 1, *model.input_shape[1:])).astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return len(converter.convert())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("plain_cnn", 32),
        *[
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("resnet20", 32), ("mobilenet_v2", 32), ("mobilenet_v3_small", 96), ("densenet_bc_100(growth=8)", 32))
        ],
    ],
)  # fmt: skip
def test_estimated_file_sizes_are_near_the_real_ones(name, size):
    model = trained_like(name, size)
    for estimated, int8 in zip(costs.tflite_bytes(model), (False, True), strict=True):
        assert estimated == pytest.approx(converted(model, int8), rel=0.05)
