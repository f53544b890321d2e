"""MobileNets are the papers', and take the weights of keras.applications."""

from functools import partial

import keras
import pytest
from keras.applications import MobileNetV2, MobileNetV3Large, MobileNetV3Small
from keras.applications.mobilenet_v2 import preprocess_input

from keras_imgcls.models import classifier
from tests.models.applications import assert_same_logits


def unscaled(pixels):
    return pixels  # V3 in keras.applications scales within


def landmarks(spec, size):
    return classifier.describe(classifier.build(spec, (size, size, 3), 10)).landmarks


@pytest.mark.parametrize(
    ("name", "application", "preprocess"),
    [
        pytest.param("mobilenet_v2", MobileNetV2, preprocess_input, marks=pytest.mark.slow),
        ("mobilenet_v3_small", MobileNetV3Small, unscaled),
        pytest.param("mobilenet_v3_large", MobileNetV3Large, unscaled, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("size", [64, pytest.param(224, marks=pytest.mark.slow)])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(name, application, preprocess, size):
    assert_same_logits(f"{name}(stem=imagenet)", application, preprocess, "symmetric", size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "application", "preprocess", "alpha"),
    [
        ("mobilenet_v2", MobileNetV2, preprocess_input, 0.35),
        ("mobilenet_v2", MobileNetV2, preprocess_input, 1.4),
        ("mobilenet_v3_large", MobileNetV3Large, unscaled, 0.75),
        ("mobilenet_v3_small", MobileNetV3Small, unscaled, 0.75),
    ],
)
def test_alpha_rounds_as_theirs_does(name, application, preprocess, alpha):
    application = partial(application, alpha=alpha)
    assert_same_logits(f"{name}(stem=imagenet, width={alpha})", application, preprocess, "symmetric", 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "millions"), [("mobilenet_v2", 301), ("mobilenet_v3_large", 217), ("mobilenet_v3_small", 57)]
)
def test_multiply_adds_are_those_that_torchvision_tells(name, millions):
    count = classifier.describe(classifier.build(name, (224, 224, 3), 1000)).macs
    assert count / 1e6 == pytest.approx(millions, abs=1)


@pytest.mark.parametrize(("size", "stem", "last"), [(32, 32, 4), (95, 95, 12), (96, 48, 3)])
def test_the_stem_goes_by_the_size_of_the_image(size, stem, last):
    shapes = landmarks("mobilenet_v2(width=0.1, depth=0.1)", size)
    assert (shapes["stem"][0], shapes["features"][0]) == (stem, last)


@pytest.mark.parametrize(("size", "side"), [(32, 4), (96, 3)])
@pytest.mark.parametrize(
    ("name", "last", "features"), [("mobilenet_v3_small", "stage4", 1024), ("mobilenet_v3_large", "stage5", 1280)]
)
def test_v3_gives_a_vector_behind_a_map_of_an_eighth_or_a_32nd(name, last, features, size, side):
    shapes = landmarks(f"{name}(width=0.1)", size)
    assert list(shapes)[-3:] == [last, "features", "logits"]
    assert (shapes[last][0], shapes["features"]) == (side, (features,))


def test_v2_is_made_for_8_bits():
    model = classifier.build("mobilenet_v2(width=0.1)", (32, 32, 3), 10)
    functions = {layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    assert functions == {"relu6"}
    assert not any(isinstance(layer, keras.layers.Multiply) for layer in model.layers)
