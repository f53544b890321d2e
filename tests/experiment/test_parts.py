"""A training that takes over parts of the one before it gives what it gives by itself, and traces no step again."""

import keras
import numpy as np
import pytest

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.experiment import parts as parts_module
from keras_imgcls.experiment.parts import KeptParts, Parts
from keras_imgcls.experiment.train import train
from keras_imgcls.training.learner import Learner

FIRST = {"learning_rate": 0.05, "weight_decay": 0.001, "seed": 0}
OTHER = {"learning_rate": 0.2, "weight_decay": 0.02, "augment": "flip"}


@pytest.fixture
def traces(monkeypatch):
    """Steps that were traced."""
    seen, traced = [], Learner.train_step
    monkeypatch.setattr(Learner, "train_step", lambda self, data: seen.append(self) or traced(self, data))
    return seen


def config(folder, **options):
    usual = {
        "model": "plain_cnn(width=4)",
        "batch_size": 128,
        "epochs": 2,
        "mixed_precision": "float32",
        "test_fraction": 0.0,
    }
    return TrainConfig(
        dataset="digits", run_dir=str(folder), **{**usual, "steps_per_execution": 1, "augment": "none", **options}
    )


def result(run):
    """All that training gave but times: rows of the history, weights."""
    rows = [
        {name: row[name] for name in ("loss", "accuracy", "val_loss", "learning_rate")} for row in run.read_history()
    ]
    return rows, keras.models.load_model(run.model).get_weights()


def assert_equal(one, other):
    assert one[0] == other[0]
    for mine, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "resnet20(width=4)", "dropout": 0.2},
        {"optimizer": "adamw", "averaging": "ema(0.9)"},
        {"mixed_precision": "mixed_float16", "averaging": "lookahead"},
    ],
)
def test_the_second_training_is_as_by_itself(tmp_path, traces, options):
    parts = KeptParts()
    train(config(tmp_path / "first", **FIRST, **options), parts=parts)
    once = len(traces)
    second = train(config(tmp_path / "second", **OTHER, **options), parts=parts)
    assert len(traces) == once
    alone = train(config(tmp_path / "alone", **OTHER, **options))
    assert len(traces) > once
    assert_equal(result(second), result(alone))


class Pause(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise InterruptedError


def test_a_paused_training_goes_on_bit_for_bit_after_another_one(tmp_path, traces):
    parts, whole = KeptParts(), train(config(tmp_path / "whole", **FIRST))
    with pytest.raises(InterruptedError):
        train(config(tmp_path / "paused", **FIRST), callbacks=[Pause()], parts=parts)
    once = len(traces)
    train(config(tmp_path / "between", **OTHER), parts=parts)
    paused = train(config(tmp_path / "paused", resume=True, **FIRST), parts=parts)
    assert len(traces) == once
    assert_equal(result(paused), result(whole))


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.5},
        {"model": "plain_cnn(width=6)"},
        {"class_weight": "balanced"},
        {"weight_decay": 0.0},
        {"seed": 7},
    ],
)
def test_another_step_is_traced(tmp_path, traces, options):
    """A seed draws other training images, whose mean and deviation are constants of the network."""
    parts = KeptParts()
    train(config(tmp_path / "first", **FIRST), parts=parts)
    once = len(traces)
    second = train(config(tmp_path / "second", **{**OTHER, **options}), parts=parts)
    assert len(traces) > once
    assert_equal(result(second), result(train(config(tmp_path / "alone", **{**OTHER, **options}))))


def test_a_schedule_of_a_plugin_is_made_for_each_training(tmp_path, traces, monkeypatch):
    """It may have taken the learning rate once, as a number."""
    monkeypatch.setattr(parts_module, "OURS", "elsewhere.")
    parts = KeptParts()
    train(config(tmp_path / "first", **FIRST), parts=parts)
    once = len(traces)
    train(config(tmp_path / "second", **OTHER), parts=parts)
    assert len(traces) > once


def test_data_is_read_once():
    parts = KeptParts()
    first, second = (TrainConfig(dataset="digits", learning_rate=rate) for rate in (0.1, 0.2))
    assert parts.data(first, 0) is parts.data(second, 0)
    assert Parts().data(first, 0) is not parts.data(first, 0)
    other = parts.data(TrainConfig(dataset="digits", fraction=0.5), 0)
    assert len(other.manifest) < len(parts.data(first, 0).manifest)
