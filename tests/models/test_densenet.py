"""The DenseNets are the paper's, and take the weights of keras.applications."""

import re

import keras
import numpy as np
import pytest
from keras.applications import DenseNet121
from keras.applications.densenet import preprocess_input

from keras_imgcls.models import classifier
from tests.models.applications import TORCH, assert_same_logits, weight_layers


@pytest.mark.parametrize("size", [64, pytest.param(224, marks=pytest.mark.slow)])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(size):
    assert_same_logits("densenet121(stem=imagenet)", DenseNet121, preprocess_input, TORCH, size)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "billions"), [("densenet121", 2.83), ("densenet169", 3.36), ("densenet201", 4.29)])
def test_multiply_adds_are_those_that_torchvision_tells(name, billions):
    assert round(classifier.describe(classifier.build(name, (224, 224, 3), 1000)).macs / 1e9, 2) == billions


@pytest.mark.parametrize(
    "name", ["densenet_bc_100", "densenet121", pytest.param("densenet201", marks=pytest.mark.slow)]
)
def test_the_number_in_the_name_counts_layers_with_weights(name):
    model = classifier.build(f"{name}(growth=1)", (32, 32, 3), 10)
    assert weight_layers(model) == int(re.search(r"\d+", name)[0])


def test_channels_grow_by_the_growth_and_are_halved_between_stages():
    shapes = classifier.describe(classifier.build("densenet_bc_100", (32, 32, 3), 10)).landmarks
    assert shapes["stem"] == (32, 32, 24)
    assert shapes["stage1"] == (32, 32, 24 + 16 * 12)
    assert shapes["stage2"] == (16, 16, 108 + 16 * 12)
    assert shapes["stage3"] == (8, 8, 150 + 16 * 12)


def test_a_block_passes_on_what_came_in():
    model = classifier.build("densenet_bc_100(growth=3, depths=(2, 1, 1))", (16, 16, 3), 10)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("float32")
    outputs = [model.get_layer(name).output for name in ("stem", "stage1")]
    before, after = (keras.ops.convert_to_numpy(x) for x in keras.Model(model.input, outputs)(images))
    assert after.shape[-1] == before.shape[-1] + 2 * 3
    np.testing.assert_array_equal(after[..., : before.shape[-1]], before)


@pytest.mark.parametrize(("size", "side"), [(32, 32), (95, 95), (96, 24), (128, 32)])
def test_the_stem_goes_by_the_size_of_the_image(size, side):
    model = classifier.build("densenet121(growth=1, depths=(1, 1, 1, 1))", (size, size, 3), 10)
    assert classifier.describe(model).landmarks["stem"] == (side, side, 2)


def test_dropout_is_an_argument_and_off_by_default():
    def dropouts(arguments):
        model = classifier.build(f"densenet_bc_100(growth=1, depths=(1, 1, 1){arguments})", (8, 8, 3), 10)
        return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    assert dropouts("") == []
    assert dropouts(", dropout=0.2") == [0.2] * 6
