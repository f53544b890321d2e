"""GoogLeNet is table 1 of its paper; Inception v3 takes the weights of keras.applications."""

import keras
import numpy as np
import pytest
from keras.applications import InceptionV3
from keras.applications.inception_v3 import preprocess_input

from keras_imgcls.core.errors import UserError
from keras_imgcls.models import classifier
from tests.models.applications import assert_same_logits, weight_layers


@pytest.mark.parametrize("size", [75, pytest.param(299, marks=pytest.mark.slow)])
def test_with_the_weights_of_keras_applications_it_gives_their_logits(size):
    assert_same_logits("inception_v3(stem=imagenet)", InceptionV3, preprocess_input, "symmetric", size)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "billions"), [("inception_v1_bn", 224, 1.50), ("inception_v3", 299, 5.71)])
def test_multiply_adds_are_those_that_torchvision_tells(name, size, billions):
    assert round(classifier.describe(classifier.build(name, (size, size, 3), 1000)).macs / 1e9, 2) == billions


def test_googlenet_has_the_maps_of_the_papers_table():
    shapes = classifier.describe(classifier.build("inception_v1", (224, 224, 3), 1000)).landmarks
    assert [shapes[name] for name in ("stem", "stage1", "stage2", "stage3", "pool")] == [
        (28, 28, 192),
        (28, 28, 480),
        (14, 14, 832),
        (7, 7, 1024),
        (1024,),
    ]


@pytest.mark.parametrize(("name", "count"), [("inception_v1", 58), ("inception_v1_bn", 58), ("inception_v3", 95)])
def test_it_has_as_many_layers_with_weights_at_any_size(name, count):
    for size in (32, 96):
        assert weight_layers(classifier.build(f"{name}(width=0.02)", (size, size, 3), 10)) == count


@pytest.mark.parametrize("name", ["inception_v1", "inception_v1_bn", "inception_v3"])
def test_the_small_stem_halves_the_sides_once(name):
    shapes = classifier.describe(classifier.build(f"{name}(width=0.02)", (32, 32, 3), 10)).landmarks
    assert shapes["stem"][:2] == (16, 16)
    assert shapes["features"][0] >= 3


@pytest.mark.parametrize("name", ["inception_v1", "inception_v1_bn"])
def test_googlenets_5x5_is_3x3_where_it_is_normalized(name):
    model = classifier.build(f"{name}(width=0.1)", (32, 32, 3), 10)
    side = model.get_layer("stage2_block0_5x5_conv").kernel.shape[0]
    assert side == (3 if name.endswith("_bn") else 5)


def test_dropout_of_channels_before_the_average_is_dropout_behind_it():
    model = classifier.build("inception_v1(width=0.2, dropout=0.4)", (32, 32, 3), 10)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    pool = keras.Model(model.input, model.get_layer("pool").output)
    plain, dropped = (keras.ops.convert_to_numpy(pool(images, training=training)) for training in (False, True))
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], plain[kept] / 0.6, rtol=1e-4)
    assert np.mean(~kept[plain > 0]) == pytest.approx(0.4, abs=0.1)


def test_imagenets_stem_refuses_images_that_it_would_leave_nothing_of():
    with pytest.raises(
        UserError, match=r"stem='imagenet' takes images of 75 pixels or more; received 40: take 'small'"
    ):
        classifier.build("inception_v3(stem=imagenet)", (80, 40, 3), 10)
    with pytest.raises(UserError, match=r"stem is one of 'auto', 'small', 'imagenet'; received 'smal'\. Did you mean"):
        classifier.build("inception_v3(stem=smal)", (32, 32, 3), 10)
