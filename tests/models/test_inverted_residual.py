"""The blocks of MobileNets and EfficientNets."""

import keras
import numpy as np
import pytest

from keras_imgcls.models.inverted_residual import (
    divisible,
    fused_inverted_residual,
    inverted_residual,
    stage_strides,
)


@pytest.mark.parametrize(
    ("channels", "rounded"), [(1, 8), (8, 8), (11, 16), (12, 16), (16 * 1.1, 16), (32 * 1.1, 32), (40 * 1.4, 56)]
)
def test_channels_are_multiples_of_8_never_more_than_a_tenth_below(channels, rounded):
    assert divisible(channels) == rounded


def test_it_is_at_least_nine_tenths_for_all_channels():
    for channels in np.linspace(1, 500, 3001):
        assert divisible(channels) % 8 == 0
        assert 0.9 * channels <= divisible(channels) <= max(8, channels + 8)


def test_for_small_images_the_first_stride_is_taken_out():
    assert stage_strides([1, 2, 2, 1], True) == [1, 1, 2, 1]
    assert stage_strides([2, 2], True) == [1, 2]
    assert stage_strides([1, 2, 2, 1], False) == [1, 2, 2, 1]
    assert stage_strides([1, 1], True) == [1, 1]


def block(function, filters=8, strides=1, **arguments):
    image = keras.Input((6, 6, 8))
    y = function(image, filters, 3, strides, 16, "relu6", name="stage1_block0", **arguments)
    return keras.Model(image, y)


@pytest.mark.parametrize("function", [inverted_residual, fused_inverted_residual])
@pytest.mark.parametrize(("filters", "strides", "joined"), [(8, 1, True), (16, 1, False), (8, 2, False)])
def test_there_is_a_shortcut_where_shapes_agree(function, filters, strides, joined):
    names = [layer.name for layer in block(function, filters, strides).layers]
    assert ("stage1_block0_add" in names) == joined


@pytest.mark.parametrize("function", [inverted_residual, fused_inverted_residual])
def test_nothing_activates_what_is_projected(function):
    model = block(function)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype("float32")
    model.get_layer("stage1_block0_project_norm").gamma.assign(np.zeros(8))
    model.get_layer("stage1_block0_project_norm").beta.assign(np.full(8, -9.0))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), x - 9, rtol=1e-5)


def test_depthwise_kernels_do_not_begin_smaller_with_more_channels():
    deviations = []
    for channels in (16, 256):
        image = keras.Input((6, 6, channels))
        model = keras.Model(image, inverted_residual(image, 8, 3, 1, channels, "relu6", name="stage1_block0"))
        deviations.append(np.std(model.get_layer("stage1_block0_depthwise_conv").get_weights()[0]))
    assert deviations == pytest.approx([np.sqrt(2 / 9)] * 2, rel=0.25)
