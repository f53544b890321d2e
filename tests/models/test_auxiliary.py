"""Auxiliary heads are the published ones, train the trunk, and leave the model as it was."""

import keras
import numpy as np
import pytest

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.models import auxiliary, classifier
from keras_imgcls.training.acceleration import accelerate
from keras_imgcls.training.learner import Learner


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    # Caffe's bvlc_googlenet; torchvision's googlenet; torchvision's 27,161,264 without the scales of 98 normalisations.
    [("inception_v1", 224, 13_378_280), ("inception_v1_bn", 224, 13_004_888), ("inception_v3", 299, 27_143_152)],
)
def test_parameters_with_heads_are_the_published_ones(name, size, parameters):
    model = classifier.build(name, (size, size, 3), 1000)
    assert classifier.describe(auxiliary.with_heads(model, name)).trainable_parameters == parameters


@pytest.mark.parametrize("name", ["inception_v1", "inception_v1_bn"])
def test_they_share_the_trunk_and_bring_it_gradients(name):
    keras.utils.set_random_seed(0)
    spec = f"{name}(width=0.1, dropout=0.0)"  # which would draw anew in the second step
    model = classifier.build(spec, (32, 32, 3), 5)
    names, weights = [layer.name for layer in model.layers], len(model.weights)
    whole = auxiliary.with_heads(model, spec)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(whole(images)[0], model(images))
    assert [tuple(logits.shape) for logits in whole(images)] == [(4, 5)] * 3

    def after_a_step(weight):
        options = TrainConfig(
            auxiliary_weight=weight, learning_rate=0.1, schedule="constant", weight_decay=0.0, xla="off",
            steps_per_execution=1, mixed_precision="float32", momentum=0.0,
        )  # fmt: skip
        before = whole.get_weights()
        learner = Learner(accelerate(whole), options, total_steps=1)
        learner.train_step(((images, np.eye(5, dtype="float32")[:4], np.arange(4)), np.float64(0)))
        after = {variable.path: variable.numpy() for variable in whole.trainable_variables}
        whole.set_weights(before)
        return after

    with_heads, without = after_a_step(0.3), after_a_step(0.0)
    moved = {path for path in with_heads if np.any(with_heads[path] != without[path])}
    assert any(path.startswith("stem") for path in moved)
    assert any(path.startswith("auxiliary1_logits") for path in moved)
    assert not any(path.startswith(("stage3", "logits")) and "kernel" in path for path in moved)
    assert ([layer.name for layer in model.layers], len(model.weights)) == (names, weights)


def test_a_model_without_them_is_answered_before_anything_is_built():
    with pytest.raises(UserError, match="resnet20 has no auxiliary heads; inception_v1, inception_v1_bn, inception_v3"):
        config_module.check(TrainConfig(dataset="digits", model="resnet20", auxiliary_weight=0.3))
