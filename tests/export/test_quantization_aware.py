"""Quantization-aware fine-tuning: it wins back what int8 lost, and its file says what its network says."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.export import fresh, int8, litert, quantization_aware, tflite
from keras_imgcls.export.lesson import Lesson
from keras_imgcls.training.feed import Feed
from tests.export.test_int8 import make, photos


def taught(scale, **options):
    """The network of `test_int8`, and images to teach it with; their labels are not looked at."""
    trained = make(scale, **options)
    images, batch = photos(640, seed=3), 32

    def batches(epoch, first_step):
        order = np.random.default_rng(epoch).permutation(len(images))
        data = tf.data.Dataset.from_tensor_slices((images[order], np.zeros((len(images), 5), np.float32), order))
        return data.batch(batch).skip(first_step)

    feed = Feed(batches, len(images) // batch, len(images), images.shape[1:], 5)
    config = TrainConfig(batch_size=batch, xla="off", mixed_precision="bfloat16", optimizer="sgd", averaging="ema(0.9)")
    trained.lesson = Lesson(feed, None, config)
    return trained


@pytest.fixture(scope="module")
def tuned():
    trained = taught(scale=100)
    return trained, quantization_aware.fine_tuned(trained, 3)


def test_fine_tuning_wins_back_what_int8_lost(tuned):
    trained, view = tuned
    lost = int8.measure(trained, tflite.int8(trained)).lost
    left = int8.measure(trained, quantization_aware.convert(trained, view)).lost
    assert lost > 10 and left < lost / 2


def test_the_file_says_what_its_network_says(tuned):
    trained, view = tuned
    model = quantization_aware.convert(trained, view)
    answers = litert.probabilities(model, trained.validation.images)
    expected = tf.nn.softmax(view(trained.validation.images.astype(np.float32), training=False)).numpy()
    assert (answers.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.98
    np.testing.assert_allclose(answers, expected, atol=0.02)
    assert quantization_aware.in_float(model, view) == []
    assert fresh.census(model) == {
        "CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1, "SOFTMAX": 1, "QUANTIZE": 2,
    }  # fmt: skip


def test_a_temperature_goes_into_the_file(tuned):
    trained, view = tuned
    trained.predictor.temperature = 2.0
    try:
        answers = litert.probabilities(quantization_aware.convert(trained, view), trained.validation.images)
    finally:
        trained.predictor.temperature = 1.0
    logits = view(trained.validation.images.astype(np.float32), training=False)
    np.testing.assert_allclose(answers, tf.nn.softmax(logits / 2), atol=0.02)


def test_equal_seeds_give_equal_networks(tuned):
    trained, view = tuned
    again = quantization_aware.fine_tuned(trained, 3)
    for first, second in zip(view.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_the_float_model_stays_as_it_is(tuned):
    trained, _ = tuned
    pairs = zip(trained.predictor.model.get_weights(), make(scale=100).predictor.model.get_weights(), strict=True)
    assert all(np.array_equal(now, before) for now, before in pairs)


def test_what_was_tried_and_kept_is_stated(tmp_path):
    trained = taught(scale=100, int8="quantization_aware", int8_epochs=1)
    int8.write(trained, tmp_path / "model.tflite")
    statement = trained.statements["tflite_int8"]
    assert statement.startswith("quantized after training with 62 calibration images it loses ")
    assert "; after 1 epoch of quantization-aware fine-tuning it " in statement
    assert statement.endswith("; kept: the second (200 validation images, the Keras model 100.0%)")
    kept = int8.measure(trained, (tmp_path / "model.tflite").read_bytes())
    assert f"(accuracy {kept.right / 200:.1%}, agrees" in statement


def test_fine_tuning_has_its_own_flags_and_keeps_those_of_the_data():
    config = TrainConfig(batch_size=7, seed=3, freeze="features", label_smoothing=0.1, augment="flip", mix="mixup(0.2)")
    tuned = quantization_aware.fine_tuning(config, 5)
    assert (tuned.batch_size, tuned.seed, tuned.augment, tuned.mix, tuned.epochs) == (7, 3, "flip", "mixup(0.2)", 5)
    config_module.check(config_module.replace(tuned, dataset="digits"))
    assert (tuned.freeze, tuned.label_smoothing, tuned.mixed_precision) == ("none", 0.0, "float32")
