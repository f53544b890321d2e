"""A run in phases: killed in any of them it resumes to the same bits; what it leaves is one plain model."""

import re

import keras
import numpy as np
import pytest

from keras_imgcls.core import run as run_module
from keras_imgcls.core.console import Progress
from keras_imgcls.training import checkpoint
from keras_imgcls.training import fit as fit_module
from keras_imgcls.training import loop as loop_module
from keras_imgcls.training.validation import Validator
from tests.training.toy import make_config, make_feed, make_staged

PHASES = {"epochs": 6, "freeze": "features|stage1", "unfreeze_epoch": "3|5", "feature_views": 2}
FULL = {**PHASES, "averaging": "ema(0.9)", "optimizer": "adamw", "learning_rate": 0.01, "layer_decay": 0.75}
CLOCK = ("seconds", "images_per_second", "data_wait")


class Killed(BaseException):
    """Stands for a kill: nothing in the loop may catch it."""


class KillAfter(keras.callbacks.Callback):
    def __init__(self, executions):
        super().__init__()
        self.left = executions

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


def train(config, run=None, resume=False, callbacks=(), validate=None):
    keras.utils.set_random_seed(0)
    model, feed = make_staged(), make_feed()
    validate = validate or Validator(model, feed.batches(0, 0))
    outcome = fit_module.fit(model, feed, config, validate, run=run, resume=resume, callbacks=callbacks)
    return model, [{name: value for name, value in row.items() if name not in CLOCK} for row in outcome.history]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.fixture(scope="module")
def whole():
    return train(make_config(**FULL))


# An epoch is one call while the head trains on kept features, and eight calls later: in each phase, and where two meet.
@pytest.mark.parametrize(("kill_at", "checkpoint_every"), [(2, "1epoch"), (3, "2epoch"), (14, "3"), (26, "1epoch")])
def test_a_run_that_is_killed_in_any_phase_resumes_bit_for_bit(tmp_path, whole, kill_at, checkpoint_every):
    config = make_config(checkpoint_every=checkpoint_every, **FULL)
    run = run_module.create(tmp_path / "run")
    with pytest.raises(Killed):
        train(config, run, callbacks=[KillAfter(kill_at)])
    resumed, history = train(config, run, resume=True)
    expected, expected_history = whole
    assert history == expected_history
    assert same(resumed, expected)


def test_a_checkpoint_knows_its_phase(tmp_path):
    run = run_module.create(tmp_path / "run")
    with pytest.raises(Killed):
        train(make_config(**FULL), run, callbacks=[KillAfter(12)])
    stored = checkpoint.load(run.checkpoints)
    assert (stored.position["epoch"], stored.position["stage_epoch"]) == (3, 2)


def test_a_finished_run_is_resumed_to_what_it_was(tmp_path, whole):
    run = run_module.create(tmp_path / "run")
    train(make_config(**FULL), run)
    again, history = train(make_config(**FULL), run, resume=True)
    assert history == whole[1]
    assert same(again, whole[0])


def test_the_best_epoch_of_all_phases_is_the_model(tmp_path):
    """And it loads plain: nothing in the file is frozen."""
    scores = iter([0.5, 0.9, 0.3, 0.4, 0.2, 0.1])
    models = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            models.append([weight.copy() for weight in self.model.model.get_weights()])

    run = run_module.create(tmp_path / "run")
    validate = lambda: {"val_loss": 1.0, "val_accuracy": next(scores)}  # noqa: E731
    model, _ = train(make_config(**PHASES), run, callbacks=[Keep()], validate=validate)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), models[1], strict=True))
    loaded = keras.models.load_model(run.model)
    assert same(loaded, model)
    assert len(loaded.trainable_variables) == len(make_staged().trainable_variables) == 14
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in make_staged().layers]


def test_progress_and_eta_are_those_of_the_phase(monkeypatch, capsys):
    """The clock begins behind a phase's first call, which traces; after that each call takes a second here."""
    now = iter(range(10_000))
    monkeypatch.setattr(loop_module.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(loop_module, "Progress", lambda total, label: Progress(total, label, piped_seconds=0.0))
    train(make_config(**PHASES))
    lines = re.findall(r"^(phase . of 3) +(\d+%)  (?:ETA ([\d.]+) )?.*?epoch (\d)/6", capsys.readouterr().out, re.M)
    assert [line[:2] for line in lines[:2]] == [("phase 1 of 3", "50%"), ("phase 1 of 3", "100%")]
    assert [line[1] for line in lines if line[0] == "phase 2 of 3"][::5] == ["6%", "38%", "69%", "100%"]
    assert [line[2] for line in lines if line[1] in ("50%", "6%")][:1] == [""]
    assert [line[2] for line in lines if line[1] == "100%"] == ["0.0"] * 3


def test_the_schedule_starts_anew_with_each_phase():
    config = make_config(**PHASES, schedule="step(at=(0.5,), factor=0.1)", learning_rate=1e-3)
    _, history = train(config)
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-4] * 6, rel=1e-5)  # read at the end of epochs
    assert [row["step"] for row in history] == [8, 16, 24, 32, 40, 48]


def test_patience_is_that_of_the_last_phase():
    scores = iter([0.9, *[0.5] * 20])
    config = make_config(**{**PHASES, "epochs": 12}, early_stopping=3)
    _, history = train(config, validate=lambda: {"val_loss": 1.0, "val_accuracy": next(scores)})
    assert len(history) == 4 + 3


def test_callbacks_begin_and_end_once_and_see_each_learner():
    calls, learners = [], []

    class Count(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            calls.append("begin")

        def on_train_end(self, logs=None):
            calls.append("end")

        def on_epoch_begin(self, epoch, logs=None):
            learners.append(id(self.model))

    train(make_config(**PHASES), callbacks=[Count()])
    assert calls == ["begin", "end"]
    assert [learners.index(learner) for learner in learners] == [0, 0, 2, 2, 4, 4]
