"""AlexNet of 2012 has two towers and normalises locally; that of 2014 has one tower and doesn't."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.models import blocks, classifier
from tests.models.applications import weight_layers

NAMES = ["alexnet", "alexnet_one_tower"]


def images(size, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("float32")


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_local_response_normalization_is_tensorflows(channels):
    x = np.random.default_rng(0).normal(0, 100, (2, 5, 4, channels)).astype("float32")
    expected = tf.nn.local_response_normalization(x, depth_radius=2, bias=2, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(blocks.local_response_normalization(x), expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 224])
def test_it_has_eight_layers_and_the_papers_maps(name, size):
    model = classifier.build(f"{name}(dense=8)", (size, size, 3), 10)
    shapes = classifier.describe(model).landmarks
    widths = {"alexnet": (96, 256, 256), "alexnet_one_tower": (64, 192, 256)}[name]
    sides = {32: (32, 15, 7), 224: (55, 27, 13)}[size]
    assert weight_layers(model) == 8
    assert [shapes[landmark] for landmark in ("stem", "stage1", "stage2")] == [
        (side, side, width) for side, width in zip(sides, widths, strict=True)
    ]
    assert model.get_layer("features_flatten").output.shape[1] == {32: 3, 224: 6}[size] ** 2 * 256


@pytest.mark.slow
def test_multiply_adds_are_those_that_torchvision_tells():
    assert round(classifier.describe(classifier.build("alexnet_one_tower", (224, 224, 3), 1000)).macs / 1e9, 2) == 0.71


@pytest.mark.parametrize(("name", "apart"), [("alexnet", True), ("alexnet_one_tower", False)])
def test_a_tower_sees_its_own_half_of_stage_two(name, apart):
    model = classifier.build(f"{name}(width=0.1, dense=8)", (32, 32, 3), 10)
    for number in (2, 3):
        convolution = model.get_layer(f"stage2_conv{number}")
        x = np.random.default_rng(0).normal(size=(1, *convolution.input.shape[1:])).astype("float32")
        changed = x.copy()
        changed[..., x.shape[-1] // 2 :] += 1
        before, after = (keras.ops.convert_to_numpy(convolution(pixels)) for pixels in (x, changed))
        half = before.shape[-1] // 2
        assert np.array_equal(before[..., :half], after[..., :half]) == apart
        assert not np.array_equal(before[..., half:], after[..., half:])


def test_the_towers_meet_at_the_beginning_of_stage_two():
    model = classifier.build("alexnet(width=0.1, dense=8)", (32, 32, 3), 10)
    assert [model.get_layer(f"stage2_conv{number}").groups for number in (1, 2, 3)] == [1, 2, 2]
    assert model.get_layer("stage1_conv").groups == 2


@pytest.mark.parametrize(("name", "normalizations"), [("alexnet", 2), ("alexnet_one_tower", 0)])
def test_only_the_first_normalizes(name, normalizations):
    model = classifier.build(f"{name}(width=0.1, dense=8)", (32, 32, 3), 10)
    assert sum(operation.name.startswith("rsqrt") for operation in model.operations) == normalizations


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_images_of_227_pixels_to_the_same_maps(name):
    # Caffe's and the paper's sizes differ by 3 pixels; padding makes both the same network.
    shapes = [
        classifier.describe(classifier.build(f"{name}(width=0.05, dense=8)", (size, size, 3), 10)).landmarks
        for size in (224, 227)
    ]
    assert shapes[0]["stage2"] == shapes[1]["stage2"]
