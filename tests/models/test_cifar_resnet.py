"""The residual networks do what section 4.2 of the paper says."""

import keras
import numpy as np
import pytest

from keras_imgcls.models import classifier


@pytest.mark.parametrize(
    ("name", "millions"),
    # ResNet-56 and -110 as HRank's and other pruning papers give them (Lin et al. 2020: 125.49 M and 252.89 M).
    # 40.81 M, often seen for ResNet-20, is with 1x1 convolutions as shortcuts: 2 x 131,072 more.
    [("resnet20", 40.55), ("resnet56", 125.49), ("resnet110", 252.89)],
)
def test_multiply_adds_are_the_published_ones(name, millions):
    assert round(classifier.describe(classifier.build(name, (32, 32, 3), 10)).macs / 1e6, 2) == millions


@pytest.mark.parametrize("size", [(32, 32), (13, 10)])
def test_a_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros(size):
    model = classifier.build("resnet20(width=3)", (*size, 3), 10)
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype("float32")
    # Without the residual branch the block is its shortcut, and a ReLU that changes nothing behind a ReLU.
    model.get_layer("stage2_block0_norm2").gamma.assign(np.zeros(6))
    outputs = [model.get_layer(name).output for name in ("stage1", "stage2_block0_relu2")]
    before, after = (keras.ops.convert_to_numpy(x) for x in keras.Model(model.input, outputs)(images))
    nothing = np.zeros((*after.shape[:3], 1))
    expected = np.concatenate([nothing, before[:, ::2, ::2], nothing, nothing], axis=-1)
    np.testing.assert_array_equal(after, expected)


def test_pre_activation_has_the_weights_of_the_reference():
    """https://github.com/osmr/imgclsmob counts 272,282, 855,578 and 1,730,522 with two 1x1 shortcuts that are zeros here."""
    for name, published in {"resnet20": 272_282, "resnet56": 855_578, "resnet110": 1_730_522}.items():
        model = classifier.build(f"{name}(version=v2)", (32, 32, 3), 10)
        assert classifier.describe(model).trainable_parameters == published - 16 * 32 - 32 * 64


def test_pre_activation_leaves_the_way_of_shortcuts_clear():
    """What a stage begins with is activated before it parts; from there on nothing but sums, up to the next stage."""
    model = classifier.build("resnet20(width=3, version=v2)", (32, 32, 3), 10)
    for layer in model.layers:
        if layer.name.endswith("_conv2"):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    names = ("stem", "stage1", "stage2", "stage2_block0_relu0", "stage3_block2_add", "stage3")
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in names])
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    stem, stage1, stage2, activated, added, last = (keras.ops.convert_to_numpy(x) for x in outputs(images))
    relu = lambda x: np.maximum(x, 0) / np.sqrt(1 + 1.001e-5)  # noqa: E731
    np.testing.assert_allclose(stage1, relu(stem), rtol=1e-5)
    np.testing.assert_allclose(activated, relu(stage1), rtol=1e-5)
    np.testing.assert_array_equal(stage2[..., 1:4], activated[:, ::2, ::2])
    np.testing.assert_allclose(last, relu(added), rtol=1e-5)
    assert stem.min() < 0


def test_a_strided_convolution_is_centred_on_the_pixels_that_the_shortcut_takes():
    model = classifier.build("resnet20(width=3)", (32, 32, 3), 10)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    kernel = np.zeros((3, 3, 3, 6))
    kernel[1, 1, range(3), range(3)] = 1
    model.get_layer("stage2_block0_conv1").kernel.assign(kernel)
    outputs = [model.get_layer(name).output for name in ("stage1", "stage2_block0_conv1")]
    before, after = (keras.ops.convert_to_numpy(x) for x in keras.Model(model.input, outputs)(images))
    np.testing.assert_allclose(after[..., :3], before[:, ::2, ::2], rtol=1e-6)


def test_kernels_begin_with_the_deviation_of_he_and_have_no_bias():
    keras.utils.set_random_seed(0)
    model = classifier.build("resnet20", (32, 32, 3), 10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 19
    for layer in convolutions:
        (kernel,) = layer.get_weights()
        assert np.std(kernel) == pytest.approx(np.sqrt(2 / np.prod(kernel.shape[:3])), rel=0.1)


def test_regularisers_are_arguments_and_off_by_default():
    def names(spec):
        return {layer.name: layer for layer in classifier.build(spec, (32, 32, 3), 10).layers}

    plain = names("resnet20(width=4)")
    regular = names("resnet20(width=4, squeeze_excite=4, stochastic_depth=0.9, dropout=0.2)")
    assert plain.keys() < regular.keys()
    rates = [layer.rate for name, layer in regular.items() if name.endswith("_drop")]
    np.testing.assert_allclose(rates, np.linspace(0.1, 0.9, 9))  # Huang et al. 2016: l / L of the last one's
    assert regular["features_dropout"].rate == 0.2
    assert [regular[f"stage{stage}_block0_se_squeeze"].filters for stage in (1, 2, 3)] == [1, 2, 4]
