"""ResNets for ImageNet and their kin: weights of keras.applications fit, and variants differ where they should."""

import keras
import numpy as np
import pytest
from keras.applications import ResNet50, ResNet101, ResNet152
from keras.applications.resnet import preprocess_input

from keras_imgcls.core.errors import UserError
from keras_imgcls.models import classifier
from tests.models.applications import CAFFE, assert_same_logits, weight_layers

NARROW = "width=4, depths=(1, 2, 1, 1)"


def build(spec, size=32, classes=10):
    return classifier.build(spec, (size, size, 3), classes)


def outputs(model, images, *names):
    view = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(view(images))]


def images(size=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "application", "size"),
    [("resnet50", ResNet50, 224), ("resnet101", ResNet101, 64), ("resnet152", ResNet152, 64)],
)
def test_with_the_weights_of_keras_applications_it_gives_their_logits(name, application, size):
    spec = f"{name}(version=keras, stem=imagenet)"
    assert_same_logits(spec, application, preprocess_input, CAFFE, size, blue_first=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "billions"),
    # torchvision's documentation (GFLOPS); the paper's strides in the first convolution make its 3.8 of these 4.1.
    [
        ("resnet18", 1.81),
        ("resnet34", 3.66),
        ("resnet50", 4.09),
        ("resnet50(version=v1)", 3.86),
        ("wide_resnet50_2", 11.4),
        ("resnext50_32x4d", 4.23),
    ],
)
def test_multiply_adds_are_the_published_ones(spec, billions):
    assert classifier.describe(build(spec, 224, 1000)).macs / 1e9 == pytest.approx(billions, abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "parameters"),
    [("resnet50(squeeze_excite=16)", 28_088_024), ("resnet50(version=keras)", 25_583_592)],
)
def test_parameters_of_variants_are_those_of_timm_and_keras(spec, parameters):
    # timm's seresnet50; ResNet50 of keras.applications, 25,636,712 with 53,120 moving statistics.
    assert classifier.describe(build(spec, 224, 1000)).trainable_parameters == parameters


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("resnet18", 18), ("resnet34", 34), ("resnet50", 50)])
def test_the_number_in_the_name_counts_layers_with_weights(name, count):
    model = build(f"{name}(width=1)")
    shortcuts = sum(layer.name.endswith("_shortcut_conv") for layer in model.layers)
    assert weight_layers(model) - shortcuts == count


def test_strides_are_where_the_version_has_them():
    for version, strides in {"v1": (2, 1), "keras": (2, 1), "v1_5": (1, 2), "v2": (1, 2)}.items():
        model = build(f"resnet50({NARROW}, version={version})")
        found = tuple(model.get_layer(f"stage2_block0_conv{number}").strides[0] for number in (1, 2))
        assert found == strides, version


def test_version_keras_is_v1_with_biases_everywhere():
    biased, plain = (build(f"resnet50({NARROW}, version={version})") for version in ("keras", "v1"))
    convolutions = [layer for layer in biased.layers if isinstance(layer, keras.layers.Conv2D)]
    assert all(layer.use_bias for layer in convolutions)
    extra = sum(layer.filters for layer in convolutions)
    difference = biased.count_params() - plain.count_params()
    assert difference == extra


@pytest.mark.parametrize("spec", [f"resnet18({NARROW}, version=v2)", f"resnet50({NARROW}, version=v2)"])
def test_pre_activation_leaves_the_way_of_shortcuts_clear(spec):
    model = build(spec)
    last = 2 if spec.startswith("resnet18") else 3
    kernel = model.get_layer(f"stage2_block1_conv{last}").kernel
    kernel.assign(np.zeros(kernel.shape))
    before, after = outputs(model, images(), "stage2_block0_add", "stage2")
    np.testing.assert_array_equal(after, before)
    assert before.min() < 0
    assert model.get_layer("stage4_relu").output is not None


def test_wide_and_groups_change_the_3x3_convolutions_only():
    plain = build(f"resnet50({NARROW})")
    other = build(f"resnet50({NARROW}, wide=2, groups=4)")
    assert plain.get_layer("stage3_block0_conv2").kernel.shape == (3, 3, 16, 16)
    assert other.get_layer("stage3_block0_conv2").kernel.shape == (3, 3, 8, 32)
    for stage in ("stem", "stage1", "stage4"):
        assert plain.get_layer(stage).output.shape == other.get_layer(stage).output.shape


def test_groups_that_do_not_divide_the_channels_are_refused():
    message = "groups divides the channels of 3x3 convolutions, width times wide; received groups=32 for 4 x 2 = 8"
    with pytest.raises(UserError, match=message):
        build("resnext50_32x4d(width=4)")


def test_gates_of_squeeze_and_excitation_scale_channels():
    model = build(f"resnet18({NARROW}, squeeze_excite=2)")
    assert model.get_layer("stage4_block0_se_squeeze").filters == 16
    model.get_layer("stage1_block0_se_excite").bias.assign([-2.0, -1.0, 1.0, 2.0])  # two squeezed units may both be 0
    before, gate, after = outputs(
        model,
        images(),
        "stage1_block0_norm2",
        "stage1_block0_se_excite_sigmoid",
        "stage1_block0_se_multiply",
    )
    assert gate.shape == (2, 1, 1, 4)
    assert 0 < gate.min() < gate.max() < 1
    np.testing.assert_allclose(after, before * gate, rtol=1e-6)


def test_stochastic_depth_leaves_a_block_out_for_whole_images_and_more_so_behind():
    model = build(f"resnet18({NARROW}, stochastic_depth=0.5)")
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    layer = model.get_layer("stage4_block0_drop")
    x = keras.ops.ones((500, 2, 2, 3))
    dropped = keras.ops.convert_to_numpy(layer(x, training=True)).reshape(500, -1)
    assert np.all(dropped == dropped[:, :1])
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.5], rtol=1e-6)
    assert np.mean(dropped == 0) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("size", "side"), [(32, 32), (95, 95), (96, 24), (224, 56)])
def test_the_stem_goes_by_the_size_of_the_image(size, side):
    landmarks = classifier.describe(build("resnet18(width=1, depths=(1, 1, 1, 1))", size)).landmarks
    assert landmarks["stem"] == (side, side, 1)
    assert landmarks["features"][:2] == (-(-side // 8), -(-side // 8))


def test_wide_resnet_has_its_dropout_between_the_convolutions():
    model = build("wide_resnet28_10(width=4, depth=1, dropout=0.3)")
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3] * 3
    assert model.get_layer("stage1_block0_conv2").input is model.get_layer("stage1_block0_dropout").output


def test_wide_resnet_has_28_convolutions():
    layers = build("wide_resnet28_10(width=4)").layers  # 6 x 4 in blocks, the stem and a shortcut in each stage
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in layers) == 28
