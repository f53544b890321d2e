"""ConvNeXt is the paper's, and takes the weights of keras.applications."""

import keras
import numpy as np
import pytest
from keras.applications import ConvNeXtTiny
from keras.applications.convnext import preprocess_input

from keras_imgcls.models import classifier
from keras_imgcls.training.optimizers import decays
from tests.models.applications import TORCH, assert_same_logits

NARROW = "width=8, depths=(2, 1, 1, 1)"


def build(spec, size=32):
    keras.utils.set_random_seed(0)
    return classifier.build(spec, (size, size, 3), 10)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 224])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(size):
    assert_same_logits("convnext_tiny(stem=imagenet)", ConvNeXtTiny, preprocess_input, TORCH, size)


@pytest.mark.slow
def test_multiply_adds_are_those_that_torchvision_tells():
    macs = classifier.describe(classifier.build("convnext_tiny", (224, 224, 3), 1000)).macs
    assert macs / 1e9 == pytest.approx(4.46, abs=0.006)


def test_a_new_block_passes_on_what_comes_in():
    model = build(f"convnext_tiny({NARROW})")
    view = keras.Model(model.input, [model.get_layer(name).output for name in ("stem", "stage1")])
    before, after = view(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32"))
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert np.any(np.array(after) != np.array(before))


def test_blocks_are_left_out_more_often_the_deeper_they_are():
    model = build(f"convnext_tiny({NARROW}, stochastic_depth=0.4)")
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4])  # none at the first


def test_the_scales_of_channels_begin_small_and_do_not_decay():
    scales = [weight for weight in build(f"convnext_tiny({NARROW})").weights if "layer_scale" in weight.path]
    assert len(scales) == 5
    for scale in scales:
        np.testing.assert_array_equal(scale, np.full(scale.shape, 1e-6, "float32"))
        assert not decays(scale)


@pytest.mark.parametrize(("size", "side"), [(32, 16), (95, 47), (96, 24), (128, 32)])
def test_the_stem_goes_by_the_size_of_the_image(size, side):
    landmarks = classifier.describe(build(f"convnext_tiny({NARROW})", size)).landmarks
    assert landmarks["stem"] == (side, side, 8)
