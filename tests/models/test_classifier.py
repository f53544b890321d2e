"""What `build` puts around a body, and what it says when it can't."""

import keras
import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import classifier


@pytest.fixture
def register():
    """Registers bodies for one test."""
    names = []

    def add(function, **traits):
        MODELS.register(function, **traits)
        names.append(function.__name__)

    yield add
    for name in names:
        del MODELS._registered[name], MODELS._traits[name]


def scaled(model, pixels):
    return keras.ops.convert_to_numpy(model.get_layer("scaling")(np.asarray(pixels, "float32")))


def test_symmetric_scaling_takes_grey_levels_to_minus_one_and_one():
    model = classifier.build("plain_cnn(width=2)", (8, 8, 1), 2)
    np.testing.assert_allclose(scaled(model, [[0.0], [127.5], [255.0]]), [[-1], [0], [1]], atol=1e-6)


def test_mean_and_deviation_are_grey_levels_of_each_channel():
    statistics = ([125.3, 123.0, 113.9], [63.0, 62.1, 66.7])
    model = classifier.build("plain_cnn(width=2)", (8, 8, 3), 2, statistics)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3))
    np.testing.assert_allclose(scaled(model, pixels), (pixels - statistics[0]) / statistics[1], atol=1e-5)


@pytest.mark.parametrize("scaling", ["caffe", ([1.0], [1.0]), ([1, 1, 1], [1, 0, 1]), ([1, 1, 1],), 3, ("abc", "abc")])
def test_other_scalings_are_refused(scaling):
    with pytest.raises(UserError, match=r"Scaling is 'symmetric' or \(means, standard deviations above 0\), 3 of each"):
        classifier.build("plain_cnn(width=2)", (8, 8, 3), 2, scaling)


def test_the_graph_is_float32_under_any_policy_and_leaves_the_policy_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier.build("plain_cnn(width=2)", (8, 8, 1), 2)
        with pytest.raises(UserError):
            classifier.build("plain_cnn(width=2)", (8, 8, 1), 2, "caffe")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert model.output.dtype == "float32"


def test_the_graph_is_named_so_that_tensorflow_can_export_it(tmp_path):
    model = classifier.build("speednet94(widths=(4, 4, 4), activation='relu')", (16, 16, 1), 2)
    assert model.name == "speednet94-widths-4-4-4-activation-relu"
    model.export(tmp_path / "saved", verbose=False)


def test_a_body_that_returns_a_vector_has_features_and_no_pool(register):
    def own_vector(x):
        """Ends in a layer of its own."""
        return keras.layers.Dense(5, name="stage1")(keras.layers.Flatten(name="stage1_flatten")(x))

    register(own_vector)
    model = classifier.build("own_vector", (4, 4, 1), 3)
    assert classifier.landmarks(model) == ["image", "stage1", "features", "logits"]
    assert model.get_layer("features").output.shape == (None, 5)


def test_the_head_does_what_the_body_asks_for(register):
    def own_map(x):
        """A body that is nothing."""
        return x

    register(own_map, pool="max", head_bias=False, logit_scale=0.25)
    model = classifier.build("own_map", (4, 4, 2), 3)
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 2)).astype("float32")
    (kernel,) = model.get_layer("logits").get_weights()
    expected = (images / 127.5 - 1).max(axis=(1, 2)) * 0.25 @ kernel
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(images)), expected, atol=1e-5)


def test_an_unknown_trait_is_told(register):
    def own_body(x):
        """A body with a misspelt trait."""
        return x

    register(own_body, head_bais=False)
    with pytest.raises(UserError, match="unknown trait 'head_bais'") as error:
        classifier.build("own_body", (4, 4, 1), 2)
    assert "Did you mean 'head_bias'?" in str(error.value)


@pytest.mark.parametrize(
    ("spec", "shape", "classes", "message"),
    [
        ("resnt20", (32, 32, 3), 10, r"Unknown model 'resnt20'\. Did you mean 'resnet20'\?"),
        ("resnet20(widht=3)", (32, 32, 3), 10, r"resnet20 has no argument 'widht'\. Did you mean 'width'\?"),
        ("resnet20(width=0)", (32, 32, 3), 10, r"resnet20's width is a whole number from 1 to 4096; received 0\."),
        ("resnet20('a')", (32, 32, 3), 10, r"resnet20's width is a whole number from 1 to 4096; received 'a'\."),
        ("speednet94(widths=(8, 8))", (32, 32, 3), 10, r"speednet94's widths is 3 values .* received \(8, 8\)\."),
        ("speednet94(activation=gelo)", (32, 32, 3), 10, r"speednet94's activation is one of .* Did you mean 'gelu'\?"),
        ("speednet94", (15, 32, 3), 10, r"speednet94 takes images of 16 pixels or more; received 15x32\."),
        ("resnet20", (32, 7, 3), 10, r"resnet20 takes images of 8 pixels or more; received 32x7\."),
        ("resnet20", (32, 32, 3), 0, r"A classifier has one class or more; received 0\."),
    ],
)
def test_what_is_wrong_is_said_in_one_line(spec, shape, classes, message):
    with pytest.raises(UserError, match=message):
        classifier.build(spec, shape, classes)


def test_first_losses_are_near_chance():
    """The head's first weights are small against normalised features, which batch statistics give."""
    keras.utils.set_random_seed(0)
    model = classifier.build("resnet20(width=8)", (32, 32, 3), 10)
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype("float32")
    losses = keras.losses.sparse_categorical_crossentropy(
        np.arange(64) % 10, model(images, training=True), from_logits=True
    )
    assert abs(float(keras.ops.mean(losses)) - np.log(10)) < 0.5


def test_a_backbone_is_a_view_of_the_graph():
    model = classifier.build("plain_cnn(width=2)", (8, 8, 1), 2)
    backbone = classifier.backbone(model)
    assert backbone.output.shape == (None, 2, 2, 8)
    shared = {id(variable) for variable in model.variables}
    assert {id(variable) for variable in backbone.variables} < shared


def test_initialize_leaves_models_alone_that_ask_for_nothing():
    model = classifier.build("plain_cnn(width=2)", (8, 8, 1), 2)
    before = model.get_weights()
    classifier.initialize(model, "plain_cnn(width=2)", np.zeros((4, 8, 8, 1), np.uint8))
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_multiply_adds_are_those_of_the_papers():
    """MobileNet: 569 million (Howard et al. 2017, table 4), depthwise convolutions among them."""
    described = classifier.describe(keras.applications.MobileNet(weights=None))
    assert round(described.macs / 1e6) == 569
    assert described.trainable_parameters == 4_231_976


def test_a_nested_model_is_counted_too():
    inner = classifier.build("resnet20", (32, 32, 3), 10)
    image = keras.Input((32, 32, 3))
    outer = keras.Model(image, keras.layers.Dense(4)(inner(image)))
    assert classifier.describe(outer).macs == classifier.describe(inner).macs + 40
