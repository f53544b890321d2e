import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.training.acceleration import accelerate
from keras_imgcls.training.learner import Learner
from tests.training.toy import make_config, make_feed, make_model


def learner_of(model, steps=8, **changes):
    class_weights = changes.pop("class_weights", None)
    augment = changes.pop("augment", None)
    config = make_config(**changes)
    return Learner(accelerate(model, "float32"), config, steps, class_weights, augment)


def batch(index=0):
    images, labels, ids = list(make_feed().batches(0, 0))[index]
    return (images, labels, ids), tf.constant(0.25, tf.float64)


def test_a_step_is_the_same_as_stock_keras():
    """SGD with Nesterov momentum and smoothing, against `compile` and `train_on_batch` of Keras itself."""
    ours, stock = make_model(), make_model()
    stock.set_weights(ours.get_weights())
    learner = learner_of(ours, learning_rate=0.1, momentum=0.9, label_smoothing=0.1, schedule="constant")
    stock.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    )
    for index in range(3):
        data = batch(index)
        learner.train_step(data)
        stock.train_on_batch(data[0][0], data[0][1])
    for mine, theirs in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_shrinks_kernels_and_leaves_biases_and_norms_alone(optimizer):
    """With and without decay: after one step only kernels differ, by learning rate x decay x kernel."""
    plain, decayed = make_model(), make_model()
    decayed.set_weights(plain.get_weights())
    before = {variable.path: variable.numpy() for variable in decayed.trainable_variables}
    options = {"optimizer": optimizer, "learning_rate": 0.1, "momentum": 0.0, "schedule": "constant"}
    learner_of(plain, **options).train_step(batch())
    learner_of(decayed, weight_decay=0.01, **options).train_step(batch())
    for one, other in zip(plain.trainable_variables, decayed.trainable_variables, strict=True):
        difference = one.numpy() - other.numpy()
        expected = 0.1 * 0.01 * before[other.path] if len(one.shape) > 1 else np.zeros(one.shape)
        np.testing.assert_allclose(difference, expected, atol=1e-6)


def test_norm_biases_learn_as_many_times_faster_as_told():
    plain, fast = make_model(), make_model()
    fast.set_weights(plain.get_weights())
    learner_of(plain, learning_rate=0.1).train_step(batch())
    learner_of(fast, learning_rate=0.1, norm_bias_multiplier=64.0).train_step(batch())
    for one, other in zip(plain.trainable_variables, fast.trainable_variables, strict=True):
        factor = 64 if one.name == "beta" else 1
        start = 1.0 if one.name == "gamma" else 0.0
        if one.name in ("beta", "gamma", "bias"):
            np.testing.assert_allclose(other.numpy() - start, factor * (one.numpy() - start), atol=1e-6, rtol=1e-4)


def test_class_weights_are_those_of_keras():
    ours, stock = make_model(), make_model()
    stock.set_weights(ours.get_weights())
    weights = np.array([0.5, 2.0, 1.0], np.float32)
    learner = learner_of(ours, learning_rate=0.1, momentum=0.0, schedule="constant", class_weights=weights)
    stock.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True))
    (images, labels, ids), wait = batch()
    learner.train_step(((images, labels, ids), wait))
    per_sample = labels.numpy() @ weights
    stock.train_on_batch(images, labels, sample_weight=per_sample * len(per_sample) / per_sample.sum())
    for mine, theirs in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_clipping_bounds_the_step():
    model = make_model()
    before = [variable.numpy() for variable in model.trainable_variables]
    learner_of(model, learning_rate=1.0, momentum=0.0, clip_norm=0.01, schedule="constant").train_step(batch())
    moved = np.sqrt(sum(((v.numpy() - b) ** 2).sum() for v, b in zip(model.trainable_variables, before, strict=True)))
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_metrics_are_means_over_the_epoch_and_the_wait_adds_up():
    learner = learner_of(make_model(), learning_rate=0.0)
    for index in range(3):
        results = learner.train_step(batch(index))
    right = [
        learner(batch(i)[0][0], training=True).numpy().argmax(1) == batch(i)[0][1].numpy().argmax(1) for i in range(3)
    ]
    assert float(results["accuracy"]) == pytest.approx(np.mean(right))
    assert float(results["data_wait"]) == pytest.approx(0.75)


def test_augmentation_on_the_device_gets_ids_and_epoch():
    seen = []

    def augment(images, labels, ids, epoch):
        seen.append((ids.numpy(), int(epoch)))
        return images, labels

    learner = learner_of(make_model(), augment=augment)
    learner.epoch.assign(7)
    learner.train_step(batch())
    assert seen[0][1] == 7 and np.array_equal(seen[0][0], batch()[0][2])


def test_mixing_labels_takes_the_same_path():
    learner = learner_of(make_model(), learning_rate=0.1)
    (images, labels, ids), wait = batch()
    mixed = 0.3 * labels + 0.7 * tf.reverse(labels, [0])
    assert np.isfinite(float(learner.train_step(((images, mixed, ids), wait))["loss"]))
