"""Frozen is frozen: weights, statistics, seeds, whatever the optimizer, the average or the precision do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.config import check
from keras_imgcls.core.errors import UserError
from keras_imgcls.training import fit as fit_module
from keras_imgcls.training import freezing
from keras_imgcls.training.acceleration import accelerate
from tests.training.toy import make_config, make_feed, make_staged

PARTS = ("stem", "stage1", "stage2")


def values(layers):
    return [variable.numpy() for variable in freezing.variables_of(layers)]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "adamw", "averaging": "ema(0.9)"}, {"mixed_precision": "mixed_bfloat16"}]
)
@pytest.mark.parametrize("landmark", ["stem", "stage1", "features"])
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_moves(landmark, changes):
    model, feed = make_staged(), make_feed()
    frozen = freezing.layers_up_to(model, landmark)
    rest = [layer for layer in model.layers if layer not in frozen and layer.weights]
    before, before_rest = values(frozen), values(rest)
    config = make_config(freeze=landmark, feature_views=0, weight_decay=0.1, learning_rate=0.05, **changes)
    fit_module.fit(model, feed, config, dict)
    assert equal(values(frozen), before)
    assert not any(equal(values([layer]), [start]) for layer, start in zip(rest, before_rest, strict=False))
    assert all(layer.trainable for layer in model.layers)
    assert len(model.trainable_variables) == 14


def test_the_view_computes_frozen_layers_as_in_inference():
    """Statistics and dropout: a training call of a model that is frozen whole is its inference."""
    model = make_staged(dropout=0.5)
    images = next(iter(make_feed().batches(0, 0)))[0].numpy().astype(np.float32)
    view = accelerate(model, "float32", freezing.layers_up_to(model, "features"))
    assert np.array_equal(view(images, training=True), view(images, training=False))
    assert not np.array_equal(model(images, training=True), model(images, training=False))


def test_layers_up_to_a_landmark_are_those_it_is_computed_by():
    model = make_staged()
    names = [layer.name for layer in freezing.layers_up_to(model, "stage1")]
    assert names[0] == "image" and names[-1] == "stage1" and "stem_norm" in names
    assert not any(name.startswith(("stage2", "features", "pool", "logits")) for name in names)
    assert freezing.layers_up_to(model, "none") == []
    with pytest.raises(
        UserError, match="--freeze=stage7: staged has no such landmark; it has stem, stage1, stage2, features"
    ):
        freezing.layers_up_to(model, "stage7")


def test_layer_decay_goes_by_landmarks():
    """The head has 1; features here hold no weights; each stage before has less by the factor."""
    model = make_staged()
    rates = {variable.path.split("/")[0]: rate for variable, rate in freezing.learning_rates(model, 0.5)}
    expected = {"stem": 0.5**4, "stage1": 0.5**3, "stage2": 0.5**2}
    for name, rate in expected.items():
        assert {rates[f"{name}_{part}"] for part in ("conv", "norm")} == {rate}
    assert "logits" not in rates
    biases = [rate for variable, rate in freezing.learning_rates(model, 1.0, 64.0)]
    assert biases == [64.0] * 3
    both = {v.path: rate for v, rate in freezing.learning_rates(model, 0.5, 64.0)}
    assert both["stem_norm/beta"] == 4.0 and both["stem_norm/gamma"] == 0.0625


def test_a_model_without_landmarks_is_refused():
    image = keras.Input((8, 8, 1))
    bare = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)), name="bare")
    with pytest.raises(UserError, match="--freeze=stem: bare has no such landmark; it has none: name layers"):
        fit_module.resolve(make_config(freeze="stem"), bare, make_feed(), 1)
    with pytest.raises(UserError, match="--layer_decay goes by landmarks, and bare has none"):
        fit_module.resolve(make_config(layer_decay=0.5), bare, make_feed(), 1)


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "adamw", "averaging": "ema(0.9)"}, {"mixed_precision": "mixed_bfloat16"}]
)
def test_freeze_norm_keeps_the_statistics_and_trains_all_else(changes):
    model = make_staged()
    for number, norm in enumerate(freezing.normalizations(model)):  # as weights from elsewhere have them
        norm.moving_mean.assign(np.linspace(-0.3, 0.2 + number, 6))
        norm.moving_variance.assign(np.linspace(0.5, 1.5, 6))
    statistics = [norm.non_trainable_variables for norm in freezing.normalizations(model)]
    before, trained = [[v.numpy() for v in pair] for pair in statistics], [v.numpy() for v in model.trainable_variables]
    config = make_config(freeze_norm=True, learning_rate=0.05, **changes)
    fit_module.fit(model, make_feed(), config, dict)
    assert len(before) == 3
    assert all(equal([v.numpy() for v in pair], was) for pair, was in zip(statistics, before, strict=True))
    assert not any(np.array_equal(v.numpy(), was) for v, was in zip(model.trainable_variables, trained, strict=True))
    assert len(model.trainable_variables) == 14


def test_with_freeze_norm_a_training_call_is_inference_but_for_dropout():
    images, labels, _ = next(iter(make_feed().batches(0, 0)))
    model = make_staged(dropout=0.0)
    view = fit_module.make_learner(model, make_config(freeze_norm=True), steps=1).view
    gradients = []
    for network, training in ((view, True), (model, False)):
        with tf.GradientTape() as tape:
            logits = network(tf.cast(images, tf.float32), training=training)
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(labels, logits, from_logits=True))
        gradients.append(tape.gradient(loss, [variable.value for variable in network.trainable_variables]))
    for ours, of_inference in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, of_inference, rtol=1e-3, atol=1e-5)


def test_freeze_norm_holds_behind_the_features_too():
    """A head over kept features may have a normalisation of its own."""
    staged = make_staged()
    x = keras.layers.BatchNormalization(name="head_norm")(staged.get_layer("pool").output)
    model = keras.Model(staged.input, keras.layers.Dense(3, name="logits")(x))
    norm = model.get_layer("head_norm")
    norm.moving_variance.assign(np.linspace(0.5, 1.5, 6))
    config = make_config(freeze_norm=True, freeze="features", feature_views=1, averaging="ema(0.9)", learning_rate=0.05)
    before, gamma = values([norm])[2:], norm.gamma.numpy()
    fit_module.fit(model, make_feed(), config, dict)
    assert equal(values([norm])[2:], before) and not np.array_equal(norm.gamma, gamma)


def test_freeze_norm_wants_weights_that_bring_statistics():
    with pytest.raises(UserError, match="give --pretrained or --init_from, or --nofreeze_norm"):
        check(make_config(freeze_norm=True))
    check(make_config(freeze_norm=True, model="efficientnet_lite0", pretrained="imagenet"))
