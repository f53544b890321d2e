"""EfficientNets are the paper's, take the weights of keras.applications, and the lite ones are for 8 bits."""

import keras
import numpy as np
import pytest
from keras import applications

from keras_imgcls.models import classifier
from tests.models.applications import TORCH, assert_same_logits


def unscaled(application):
    """The graph behind the scaling layers, two of which have weights of their own."""

    def build(**arguments):
        model = application(**arguments)
        return keras.Model(model.get_layer("stem_conv_pad").input, model.output)

    return build


def scale(pixels):
    # Multiplied and added, as the layer does it, number for number: from B3 on, networks of random weights make 1e-2 of
    # the logits from a difference of 1e-7 here.
    mean, deviation = (np.array(values) for values in TORCH)
    return pixels * (1 / deviation).astype("float32") + (-mean / deviation).astype("float32")


@pytest.mark.parametrize("number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 8))])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(number):
    application = unscaled(getattr(applications, f"EfficientNetB{number}"))
    assert_same_logits(f"efficientnet_b{number}(stem=imagenet)", application, scale, TORCH, 64)


@pytest.mark.slow
def test_the_same_at_224_pixels():
    assert_same_logits("efficientnet_b0", unscaled(applications.EfficientNetB0), scale, TORCH, 224)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "billions"),
    # The paper's table 2 rounds to 0.39 and 0.70; torchvision tells 0.39 and 0.69.
    [("efficientnet_b0", 224, 0.39), ("efficientnet_b1", 240, 0.69)],
)
def test_multiply_adds_are_the_published_ones(name, size, billions):
    count = classifier.describe(classifier.build(name, (size, size, 3), 1000)).macs
    assert round(count / 1e9, 2) == billions


@pytest.mark.parametrize(("size", "stem", "last"), [(32, 32, 4), (95, 95, 12), (96, 48, 3)])
def test_the_stem_goes_by_the_size_of_the_image(size, stem, last):
    model = classifier.build("efficientnet_lite0(width=0.1, depth=0.1)", (size, size, 3), 10)
    shapes = classifier.describe(model).landmarks
    assert (shapes["stem"][0], shapes["features"][0]) == (stem, last)


def test_lite_is_made_for_8_bits():
    model = classifier.build("efficientnet_lite1(width=0.1, depth=0.5)", (32, 32, 3), 10)
    functions = {layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    assert functions == {"relu6"}
    assert not any(isinstance(layer, keras.layers.Multiply) for layer in model.layers)


def test_lite_keeps_stem_last_convolution_and_the_ends_depths():
    model = classifier.build("efficientnet_lite0(width=0.25, depth=1.5)", (32, 32, 3), 10)
    shapes = classifier.describe(model).landmarks
    assert (shapes["stem"][-1], shapes["stage1"][-1], shapes["features"][-1]) == (32, 8, 1280)
    depths = [
        sum(layer.name.startswith(f"stage{stage}_") and layer.name.endswith("_project_conv") for layer in model.layers)
        for stage in range(1, 8)
    ]
    assert depths == [1, 3, 3, 5, 5, 6, 1]


def test_stochastic_depth_grows_along_the_blocks():
    model = classifier.build("efficientnet_b0(width=0.5, depth=0.5, stem=imagenet)", (32, 32, 3), 10)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop")]
    assert rates == pytest.approx([0.2 * block / 10 for block in (4, 6, 8)])  # those that change no shape
    assert model.get_layer("features_dropout").rate == 0.2
