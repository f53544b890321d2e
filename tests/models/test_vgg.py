"""The VGGs are columns A, B, D and E of the paper's table 1, and take the weights of keras.applications."""

import re

import keras
import numpy as np
import pytest
from keras.applications import VGG16, VGG19
from keras.applications.vgg16 import preprocess_input

from keras_imgcls.models import classifier
from tests.models.applications import CAFFE, assert_same_logits, weight_layers

NAMES = [f"vgg{depth}{normalized}" for depth in (11, 13, 16, 19) for normalized in ("", "_bn")]


@pytest.mark.parametrize(("name", "application"), [("vgg16", VGG16), ("vgg19", VGG19)])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(name, application):
    # 64 px: maps of 2 x 2 go into the hidden layers, so that the order of their numbers counts.
    assert_same_logits(f"{name}(dense=4096)", application, preprocess_input, CAFFE, 64, blue_first=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "application"), [("vgg16", VGG16), ("vgg19", VGG19)])
def test_the_same_at_224_pixels(name, application):
    assert_same_logits(name, application, preprocess_input, CAFFE, 224, blue_first=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "billions"), [("vgg11", 7.61), ("vgg13", 11.31), ("vgg16", 15.47), ("vgg19", 19.63)])
def test_multiply_adds_are_those_that_torchvision_tells(name, billions):
    assert round(classifier.describe(classifier.build(name, (224, 224, 3), 1000)).macs / 1e9, 2) == billions


@pytest.mark.parametrize("name", NAMES)
def test_the_number_in_the_name_counts_layers_with_weights(name):
    model = classifier.build(f"{name}(width=1, dense=8)", (32, 32, 3), 10)
    assert weight_layers(model) == int(re.search(r"\d+", name)[0])
    normalizations = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    assert normalizations == (weight_layers(model) - 3 if name.endswith("_bn") else 0)


@pytest.mark.parametrize(
    ("arguments", "units"), [("", 512), ("stem=small", 512), ("stem=imagenet", 4096), ("dense=33", 33)]
)
def test_hidden_layers_are_narrow_for_small_images_unless_told(arguments, units):
    model = classifier.build(f"vgg11(width=1{', ' * bool(arguments)}{arguments})", (32, 32, 3), 10)
    assert classifier.describe(model).landmarks["features"] == (units,)


def test_each_stage_has_half_the_side_and_up_to_eight_times_the_width():
    model = classifier.build("vgg11(width=2, dense=8)", (64, 64, 3), 10)
    shapes = classifier.describe(model).landmarks
    assert [shapes[f"stage{stage}"] for stage in (1, 2, 3, 4, 5)] == [
        (64, 64, 2),
        (32, 32, 4),
        (16, 16, 8),
        (8, 8, 16),
        (4, 4, 16),
    ]


def test_dropout_falls_on_both_hidden_layers():
    model = classifier.build("vgg11(width=4, dense=512, dropout=0.25)", (32, 32, 3), 10)
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype("float32")
    for number in (1, 2):
        layer = model.get_layer(f"features_dropout{number}")
        before, after = (keras.ops.convert_to_numpy(x) for x in _training(model, layer.input, layer.output)(images))
        assert np.mean(after[before > 0] == 0) == pytest.approx(0.25, abs=0.03)


def _training(model, *outputs):
    graph = keras.Model(model.input, outputs)
    return lambda images: graph(images, training=True)
