"""EfficientNetV2-S is the authors', and takes the weights of keras.applications."""

import pytest
from keras.applications import EfficientNetV2S

from keras_imgcls.models import classifier
from tests.models.applications import assert_same_logits

SCALING = ((128.0,) * 3, (128.0,) * 3)  # within the reference, so that it takes pixels as they are


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 224])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(size):
    assert_same_logits("efficientnet_v2_s(stem=imagenet)", EfficientNetV2S, lambda pixels: pixels, SCALING, size)


@pytest.mark.slow
def test_multiply_adds_are_those_that_torchvision_tells():
    model = classifier.build("efficientnet_v2_s", (384, 384, 3), 1000)
    assert round(classifier.describe(model).macs / 1e9, 2) == 8.37


def test_fused_stages_have_no_depthwise_convolutions_and_no_gates():
    model = classifier.build("efficientnet_v2_s(width=0.1, depth=0.1)", (32, 32, 3), 10)
    names = [layer.name for layer in model.layers]
    for stage in range(1, 7):
        fused = stage <= 3
        assert any(name.startswith(f"stage{stage}") and "depthwise" in name for name in names) != fused
        assert any(name.startswith(f"stage{stage}") and "_se_" in name for name in names) != fused


@pytest.mark.parametrize(("size", "stem", "last"), [(32, 32, 4), (96, 48, 3)])
def test_the_stem_goes_by_the_size_of_the_image(size, stem, last):
    model = classifier.build("efficientnet_v2_s(width=0.1, depth=0.1)", (size, size, 3), 10)
    shapes = classifier.describe(model).landmarks
    assert (shapes["stem"][0], shapes["features"][0]) == (stem, last)
