import contextlib
import dataclasses
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core import run as run_module
from keras_imgcls.core import signals
from keras_imgcls.training import checkpoint
from keras_imgcls.training import fit as fit_module
from keras_imgcls.training import loop as loop_module
from keras_imgcls.training.checkpoint import Diverged
from keras_imgcls.training.feed import Feed
from tests.training.toy import make_config, make_feed, make_model

FULL = {"epochs": 3, "averaging": "ema(0.9)", "optimizer": "adamw", "learning_rate": 0.01, "checkpoint_every": "3"}


def train(config, run=None, resume=False, feed=None, validate=dict, callbacks=(), dropout=0.3):
    keras.utils.set_random_seed(0)
    model = make_model(dropout)
    outcome = fit_module.fit(model, feed or make_feed(), config, validate, run=run, resume=resume, callbacks=callbacks)
    return model, outcome


def without_times(history):
    clock = ("seconds", "images_per_second", "data_wait")
    return [{name: value for name, value in row.items() if name not in clock} for row in history]


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


@pytest.mark.parametrize("steps_per_execution", [1, 3])
@pytest.mark.parametrize("kill_at", [2, 4, 7])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, kill_at, steps_per_execution):
    """Weights, dropout seeds, optimizer, average, running metrics and history, from a kill in the middle of an epoch."""
    config = make_config(steps_per_execution=steps_per_execution, **FULL)
    whole, expected = train(config)
    run = run_module.create(tmp_path / "run")
    with pytest.raises(Killed):
        train(config, run, callbacks=[KillAfter(kill_at)])
    resumed, outcome = train(config, run, resume=True)
    assert without_times(outcome.history) == without_times(expected.history)
    for mine, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def test_resume_before_the_first_checkpoint_starts_at_step_0(tmp_path, capsys):
    config = make_config()
    run = run_module.create(tmp_path / "run")
    _, outcome = train(config, run, resume=True)
    assert len(outcome.history) == 2
    assert "no checkpoint yet: training starts at step 0" in capsys.readouterr().out


def test_learns_and_writes_its_files(tmp_path):
    run = run_module.create(tmp_path / "run")
    _, outcome = train(make_config(epochs=6, learning_rate=0.02), run, dropout=0.0)
    assert max(row["accuracy"] for row in outcome.history) > 0.8
    rows = run.read_history()
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [int(row["step"]) for row in rows] == [8, 16, 24, 32, 40, 48]
    assert list(rows[0]) == [
        "epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy",
        "learning_rate", "seconds", "images_per_second", "data_wait",
    ]  # fmt: skip
    keras.models.load_model(run.model)


def test_the_model_ends_with_its_best_weights():
    scores = iter([0.5, 0.9, 0.7])
    seen = []

    def validate():
        seen.append([weight.copy() for weight in model_weights()])
        return {"val_loss": 1.0, "val_accuracy": next(scores)}

    keras.utils.set_random_seed(0)
    model = make_model()

    def model_weights():
        return model.get_weights()

    outcome = fit_module.fit(model, make_feed(), make_config(epochs=3), validate)
    assert outcome.best_epoch == 2
    for mine, best in zip(model.get_weights(), seen[1], strict=True):
        assert np.array_equal(mine, best)


def test_early_stopping():
    scores = iter([0.5, 0.6, 0.6, 0.6, 0.6, 0.6])
    config = make_config(epochs=6, early_stopping=2)
    _, outcome = train(config, validate=lambda: {"val_loss": 1.0, "val_accuracy": next(scores)})
    assert len(outcome.history) == 4


def test_divergence_is_named_and_never_saved(tmp_path):
    run = run_module.create(tmp_path / "run")
    with pytest.raises(Diverged, match=r"The loss became nan. Epoch 1, step \d of 8, learning rate 1e\+30\. Try"):
        train(make_config(learning_rate=1e30, schedule="constant"), run)
    assert not run.model.exists()


class Poison(keras.callbacks.Callback):
    """Makes a weight NaN at a step of the run while the learning rate has been lowered less than `times`."""

    def __init__(self, step, times=1, variable=-1):
        super().__init__()
        self.step, self.times, self.variable = step, times, variable

    def on_train_batch_end(self, batch, logs=None):
        done = int(self.model.optimizer.iterations.numpy())
        if done == self.step and float(self.model.rate_factor) > 0.5**self.times:
            variable = self.model.view.trainable_variables[self.variable]
            variable.assign(variable * np.nan)


def test_divergence_goes_back_to_the_last_good_checkpoint(tmp_path, capsys):
    run = run_module.create(tmp_path / "run")
    config = make_config(on_nan="rollback", checkpoint_every="3", epochs=2, schedule="constant", learning_rate=0.02)
    model, outcome = train(config, run, callbacks=[Poison(11)])
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx([0.02, 0.01])
    assert outcome.rollbacks == [{"epoch": 2, "step": 4, "back_to_step": 9}]
    assert outcome.summary()["rollbacks"] == outcome.rollbacks
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert (
        "Epoch 2, step 4: back to step 9 of the run with 0.5 times the learning rate (1 of 3)"
        in capsys.readouterr().err
    )


def test_before_any_checkpoint_it_goes_back_to_the_start(tmp_path):
    run = run_module.create(tmp_path / "run")
    _, outcome = train(make_config(on_nan="rollback"), run, callbacks=[Poison(3)])
    assert outcome.rollbacks == [{"epoch": 1, "step": 4, "back_to_step": 0}]
    assert len(outcome.history) == 2


def test_weights_that_are_nan_behind_a_finite_loss_are_found(tmp_path, monkeypatch):
    """ReLU makes 0 of NaN; so weights are looked at too, now and then, and before they are saved."""
    config = make_config(epochs=1)
    with pytest.raises(Diverged, match=r"The weights after epoch 1 are not finite"):
        train(config, run_module.create(tmp_path / "a"), callbacks=[Poison(3, variable=0)])
    monkeypatch.setattr(loop_module, "LOOK_EVERY", 0.0)
    with pytest.raises(Diverged, match=r"The weights are not finite\. Epoch 1, step 3 of 8"):
        train(config, run_module.create(tmp_path / "b"), callbacks=[Poison(3, variable=0)])


def test_rollbacks_are_bounded(tmp_path):
    run = run_module.create(tmp_path / "run")
    config = make_config(on_nan="rollback", schedule="constant", learning_rate=0.02)
    with pytest.raises(
        Diverged, match=r"learning rate 0\.0025\. It was rolled back 3 times\. The last good checkpoint is"
    ):
        train(config, run, callbacks=[Poison(11, times=99)])
    assert all(np.isfinite(array).all() for array in checkpoint.load(run.checkpoints).arrays if array.dtype.kind == "f")


@pytest.mark.parametrize("kill_at", [10, 13, 15])
def test_a_run_that_is_killed_around_a_rollback_resumes_bit_for_bit(tmp_path, kill_at):
    config = make_config(on_nan="rollback", **FULL)
    whole, expected = train(config, run_module.create(tmp_path / "whole"), callbacks=[Poison(11)])
    assert len(expected.rollbacks) == 1
    run = run_module.create(tmp_path / "killed")
    with pytest.raises(Killed):
        train(config, run, callbacks=[Poison(11), KillAfter(kill_at)])
    resumed, outcome = train(config, run, resume=True, callbacks=[Poison(11)])
    assert without_times(outcome.history) == without_times(expected.history)
    assert outcome.rollbacks == expected.rollbacks
    for mine, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def test_a_metric_that_is_nan_is_never_the_best(tmp_path):
    scores = iter([np.nan, 0.5, 0.4])
    run = run_module.create(tmp_path / "run")
    validate = lambda: {"val_loss": 1.0, "val_accuracy": next(scores)}  # noqa: E731
    _, outcome = train(make_config(epochs=3), run, validate=validate)
    assert outcome.best_epoch == 2
    assert np.isnan(checkpoint.load(run.checkpoints).position["history"][0]["val_accuracy"])


class Signal(keras.callbacks.Callback):
    """Sends a signal to this process, once."""

    def __init__(self, execution):
        super().__init__()
        self.left = execution

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("stop_at", [3, 8, "validation"])
def test_a_signal_saves_after_the_execution_and_closes_callbacks(tmp_path, stop_at):
    """In mid-epoch, at an epoch's last step, and within validation."""

    def validate(stop=stop_at == "validation"):
        if stop:
            os.kill(os.getpid(), signal.SIGTERM)
        signals.check()
        return {"val_loss": 1.0, "val_accuracy": 0.5}

    config, closed = make_config(**FULL), []
    whole, expected = train(config, validate=lambda: validate(False))
    closing = keras.callbacks.LambdaCallback(on_train_end=lambda logs: closed.append(True))
    run = run_module.create(tmp_path / "run")
    callbacks = [closing] if stop_at == "validation" else [closing, Signal(stop_at)]
    with pytest.raises(signals.Interrupted):
        train(config, run, validate=validate, callbacks=callbacks)
    assert closed == [True]
    assert checkpoint.load(run.checkpoints).position["step_in_epoch"] == (3 if stop_at == 3 else 8)
    resumed, outcome = train(config, run, resume=True, validate=lambda: validate(False))
    assert without_times(outcome.history) == without_times(expected.history)
    for mine, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(("kept", "told"), [(True, "Stopped and saved in epoch 1"), (False, "Stopped in epoch 1")])
def test_only_what_was_saved_is_said_to_be(kept, told, tmp_path, capsys):
    with pytest.raises(signals.Interrupted):
        train(make_config(**FULL), run_module.create(tmp_path / "run") if kept else None, callbacks=[Signal(3)])
    assert told in capsys.readouterr().out


def test_the_wait_for_data_is_measured():
    feed = make_feed()

    def slow(epoch, first_step):
        return feed.batches(epoch, first_step).map(_pause)

    _, outcome = train(make_config(epochs=2), feed=dataclasses.replace(feed, batches=slow))
    _, fast = train(make_config(epochs=2), feed=feed)
    waits = [kind.history[1]["seconds"] * kind.history[1]["data_wait"] for kind in (outcome, fast)]
    assert waits[0] > 8 * 0.04
    assert waits[1] < waits[0]


def _pause(*batch):
    import time

    import tensorflow as tf

    waited = tf.numpy_function(lambda: time.sleep(0.05) or np.int64(0), [], tf.int64)
    with tf.control_dependencies([waited]):
        return tuple(tf.identity(part) for part in batch)


def test_keras_callbacks_work():
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["accuracy"])))
    train(make_config(), callbacks=[callback])
    assert [epoch for epoch, _ in seen] == [0, 1]


def test_a_callback_stops_training_the_way_keras_has_it(tmp_path):
    run = run_module.create(tmp_path / "run")

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    _, outcome = train(make_config(epochs=5, checkpoint_every="3epoch"), run, callbacks=[Stop()])
    assert len(outcome.history) == 2
    assert [path.stem for path in (tmp_path / "run" / "checkpoints").glob("*.json")] == ["step-000000016"]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_train_the_float32_model(precision):
    model, outcome = train(make_config(epochs=6, learning_rate=0.02, mixed_precision=precision), dropout=0.0)
    assert max(row["accuracy"] for row in outcome.history) > 0.8
    assert {weight.dtype.name for weight in model.get_weights()} <= {"float32", "uint32"}


def test_resolved_options_leave_no_auto():
    feed: Feed = make_feed()
    config = make_config(mixed_precision="auto", xla="auto", steps_per_execution=0, deterministic=True)
    settled = fit_module.resolve(config, make_model(), feed, 10_000)
    assert (settled.mixed_precision, settled.xla) == ("float32", "off")
    assert settled.steps_per_execution == feed.steps


def test_no_sample_is_replayed_or_skipped_by_kills(tmp_path):
    """What the steps themselves were given, by the optimizer's count: a step that is done again has the same samples."""
    seen: dict[int, tuple[int, list[int]]] = {}

    def note_ids(images, labels, ids, epoch):
        def write(epoch, ids):
            step = len(killed.steps)
            killed.steps.append((int(epoch), ids.tolist()))
            return np.int64(step)

        done = tf.numpy_function(write, [epoch, ids], tf.int64)
        with tf.control_dependencies([done]):
            return tf.identity(images), labels

    class Steps(keras.callbacks.Callback):
        steps: list

        def on_train_batch_end(self, batch, logs=None):
            done = int(self.model.optimizer.iterations.numpy())
            for step, samples in zip(range(done - len(self.steps), done), self.steps, strict=True):
                assert seen.setdefault(step, samples) == samples
            self.steps.clear()

    killed = Steps()
    killed.steps = []
    config, run = make_config(**FULL), run_module.create(tmp_path / "run")
    keras.utils.set_random_seed(0)
    for kill_at in (4, 3, 7, 100):
        killed.steps.clear()
        with contextlib.suppress(Killed):
            fit_module.fit(
                make_model(), make_feed(), config, dict, run=run, resume=True, augment=note_ids,
                callbacks=[killed, KillAfter(kill_at)],
            )  # fmt: skip
    assert sorted(seen) == list(range(3 * 8))
    for epoch in range(3):
        steps = [seen[step] for step in range(8 * epoch, 8 * epoch + 8)]
        assert {numbered for numbered, _ in steps} == {epoch}
        assert sorted(sample for _, samples in steps for sample in samples) == list(range(64))
