import dataclasses
import re

import keras
import pytest
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.training import batch_size, memory
from keras_imgcls.training import fit as fit_module
from tests.training.toy import make_config, make_feed, make_model


def test_the_estimate_grows_with_batch_and_precision():
    model = make_model()
    need = memory.estimate(model, make_config())
    outputs = 8 * 8 * (1 + 1) + 6 * 6 * 8 * 3 + 8 * 2 + 3
    assert need.image == pytest.approx(memory.KEPT * 4 * outputs)
    assert need.of(64) - need.of(32) == pytest.approx(32 * need.image)
    assert memory.estimate(model, make_config(mixed_precision="mixed_bfloat16")).image == pytest.approx(need.image / 2)


def test_the_largest_batch_is_the_last_power_of_two_that_fits():
    need = memory.Need(fixed=100.0, image=10.0)
    assert [need.largest_batch(size) for size in (99, 109, 110, 739, 740, 1e6)] == [0, 0, 1, 32, 64, 65536]


def test_what_does_not_fit_is_refused_with_the_batch_that_would(monkeypatch):
    need = memory.estimate(make_model(), make_config())
    monkeypatch.setattr(memory, "available_memory", lambda: int(need.of(600)))
    config = make_config(batch_size=1024)
    with pytest.raises(
        UserError, match=r"A step with 1024 images needs about .* GiB are left: --batch_size=512 would fit"
    ):
        memory.require(make_model(), config)
    memory.require(make_model(), dataclasses.replace(config, batch_size=512))
    memory.require(make_model(), dataclasses.replace(config, ignore_memory=True))
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    with pytest.raises(UserError, match="not even one image fits"):
        memory.require(make_model(), config)


def test_a_step_that_runs_out_of_memory_is_explained():
    """TensorFlow's own error: a tensor of a petabyte."""

    def augment(images, labels, ids, epoch):
        huge = tf.zeros([2**25 + tf.cast(epoch, tf.int32), 2**23])
        return images, labels + 0 * tf.reduce_sum(huge)

    config = make_config(batch_size=8)
    with pytest.raises(UserError, match=re.escape("Out of memory in a step with 8 images. Try --batch_size=4")):
        fit_module.fit(make_model(), make_feed(), config, dict, augment=augment)


class TestAuto:
    def choose(self, monkeypatch, speeds, images=10_000, **changes):
        timed = []

        def choose_precision(model, shape, precisions, seconds, frozen):
            timed.append(shape[0])
            return precisions[0], {precisions[0]: speeds[shape[0]]}

        monkeypatch.setattr(batch_size, "choose_precision", choose_precision)
        return batch_size.choose(make_model(), make_config(**changes), images, (8, 8, 1)), timed

    def test_the_smallest_that_is_as_fast_as_the_fastest(self, monkeypatch):
        speeds = {16: 50.0, 32: 98.0, 64: 100.0, 128: 90.0, 256: 80.0, 512: 200.0}
        assert self.choose(monkeypatch, speeds) == (32, [16, 32, 64, 128, 256])

    def test_none_that_leaves_an_epoch_too_few_steps(self, monkeypatch):
        assert self.choose(monkeypatch, {16: 1.0, 32: 2.0}, images=16 * 40) == (32, [16, 32])

    def test_none_that_does_not_fit(self, monkeypatch):
        need = memory.estimate(make_model(), make_config())
        monkeypatch.setattr(batch_size, "available_memory", lambda: int(need.of(70)))
        assert self.choose(monkeypatch, {16: 1.0, 32: 2.0, 64: 4.0}) == (64, [16, 32, 64])

    def test_under_determinism_the_fixed_rule(self, monkeypatch):
        assert self.choose(monkeypatch, {}, deterministic=True) == (0, [])

    def test_the_model_is_left_as_it_was(self):
        model = make_model()
        before = model.get_weights()
        assert batch_size.choose(model, make_config(), 16 * 16, (8, 8, 1)) == 16
        assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


def test_the_estimate_is_of_any_keras_model():
    shared = keras.layers.Dense(4)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(image)
    model = keras.Model(image, keras.layers.Add()([shared(x), shared(x)]))
    assert memory.estimate(model, make_config()).image > 0
