import dataclasses
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.training import batch_size, memory
from keras_imgcls.training import fit as fit_module
from tests.training.toy import make_config, make_feed, make_model, make_staged

FACTOR = 2.5  # measured: 1.1 with nothing frozen, 1.5 up to stage3, 2.0 for a head on kept features; all above the peak


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


class TestFrozen:
    def need(self, freeze="none", images=0, **changes):
        return memory.estimate(make_staged(), make_config(freeze=freeze, **changes), images)

    def test_the_more_is_frozen_the_less_it_takes(self):
        needs = [self.need(freeze, feature_views=0) for freeze in ("none", "stem", "stage1", "features")]
        assert all(less.fixed < more.fixed for more, less in itertools.pairwise(needs))
        assert all(less.image < more.image for more, less in itertools.pairwise(needs))

    def test_only_what_trains_has_gradients_slots_and_averages(self):
        model, head = make_staged(), 6 * 3 + 3
        fixed = self.need("features", optimizer="adamw", averaging="ema", feature_views=0).fixed
        assert fixed - memory.FIXED == 4 * (2 * model.count_params() + 7 * head)
        again = self.need("features", optimizer="sgd", feature_views=0).fixed
        assert fixed - again == 4 * 2 * 2 * head

    def test_the_phase_that_takes_most_counts(self):
        assert self.need("stage1", unfreeze_epoch="2") == self.need("none")

    def test_kept_features_are_counted_and_the_body_keeps_nothing(self):
        few, many = (self.need("features", images=images, feature_views=3) for images in (1000, 2000))
        assert many.fixed - few.fixed == 4 * 6 * 1000 * 3
        assert many.image < self.need("features", feature_views=0).image

    def test_auto_asks_the_same(self, monkeypatch):
        """With so much left, all layers would be trained in 16 at a time, the last ones in 64 and more."""
        config = make_config(freeze="stage1", batch_size=0)
        left = self.need("stage1").of(70)
        assert self.need("none").largest_batch(left) < 64
        monkeypatch.setattr(batch_size, "available_memory", lambda: left)
        timed = []

        def choose_precision(model, shape, precisions, seconds, frozen):
            timed.append((shape[0], frozen[-1].name))
            return precisions[0], {precisions[0]: float(shape[0])}

        monkeypatch.setattr(batch_size, "choose_precision", choose_precision)
        assert batch_size.choose(make_staged(), config, 10_000, (8, 8, 1)) == 64
        assert timed == [(16, "stage1"), (32, "stage1"), (64, "stage1")]
        assert batch_size.choose(make_staged(), make_config(freeze="features"), 10_000, (8, 8, 1)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["none", "stage3", "features"])
def test_the_estimate_is_near_the_measured_peak(freeze):
    """Of a real training of ResNet-50 in a process of its own."""
    command = [sys.executable, Path(__file__).with_name("peak.py"), freeze]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    estimated, measured = map(int, printed.splitlines()[-1].split())
    assert measured / FACTOR < estimated < measured * FACTOR


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
