import dataclasses

import keras
import numpy as np
import pytest

from keras_imgcls.core import run as run_module
from keras_imgcls.core.errors import UserError
from keras_imgcls.training import fit as fit_module
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
    with pytest.raises(UserError, match=r"The loss became nan in epoch 1, step \d of 8, at learning rate"):
        train(make_config(learning_rate=1e30, schedule="constant"), run)
    assert not run.model.exists()


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
