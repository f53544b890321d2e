"""The loop over Keras' compiled step: epochs, validation, checkpoints, and where a killed run goes on.

`fit` can't start in mid-epoch, resets metrics and overwrites averaged weights; so the step number is the only state of the
data here, and Keras' callbacks, `steps_per_execution` and `tf.distribute` keep working.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core import config as config_module
from keras_imgcls.core import phases, signals
from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.console import Progress, duration, note, warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.phases import Phase
from keras_imgcls.training import memory
from keras_imgcls.training.checkpoint import Checkpoint, Diverged
from keras_imgcls.training.feed import timed
from keras_imgcls.training.keeper import Keeper
from keras_imgcls.training.stage import Stage

COLUMNS = (
    "epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy",
    "learning_rate", "seconds", "images_per_second", "data_wait",
)  # fmt: skip
LOWER, MOST_ROLLBACKS = 0.5, 3
LOOK_EVERY = 30.0  # seconds, as lines of progress


@dataclass
class Position:
    """Where a run stands; with the learner's variables, all that a checkpoint needs.

    `stage_epoch` is the first epoch of the stage whose learner that is.
    """

    epoch: int = 0
    stage_epoch: int = 0
    step_in_epoch: int = 0
    seconds_in_epoch: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    epochs_without_gain: int = 0
    finished: bool = False
    epochs: int = 0
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


class Loop:
    """Trains a learner to the end of its epochs, or of its patience."""

    def __init__(
        self,
        stage_of: Callable[[int], Stage],
        options: TrainingOptions,
        keep: Keeper,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Stores what it is given; `stage_of` makes the stage that an epoch (from 0) belongs to."""
        self.options, self.keep, self._stage_of = options, keep, stage_of
        self.stage: Stage | None = None
        self.position = Position(epochs=options.epochs)
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), add_history=False)
        self._every, self._unit = config_module.checkpoint_interval(options.checkpoint_every)
        self._saved_at = self._looked_at = time.monotonic()
        self._orderly = False

    def run(self) -> Position:
        """Trains; returns where it ended.

        Raises:
            Diverged: the loss is no longer finite, and `--on_nan` or its bound says stop.
            Interrupted: SIGTERM or Ctrl-C; the run was saved after the execution in hand.
        """
        if self.stage is None:
            self.enter(0)
        if self.options.on_nan == "rollback" and not self._steps_done():
            self._checkpoint()  # where the first epoch would go back to
        with contextlib.ExitStack() as self._to_the_end:
            self._callbacks.on_train_begin()
            try:
                while self.position.epoch < self.options.epochs and not self._stopped():
                    if self.position.epoch == self.stage.phase.stop:
                        self.enter(self.position.epoch)
                        self._checkpoint()
                    try:
                        self._epoch()
                    except Diverged as error:
                        self._roll_back(error)
            finally:  # after an interruption too: TensorBoard closes its files
                self._callbacks.on_train_end()
        return self.position

    def _stopped(self) -> bool:
        """Whether patience is at its end, or a callback has set Keras' `stop_training`."""
        return self.position.finished or self.learner.stop_training

    def enter(self, epoch: int) -> None:
        """Goes on with the stage of `epoch`: a learner, an optimizer and a schedule that start anew."""
        self.stage = stage = self._stage_of(epoch)
        self.learner, self.feed, self.options, self.validate = stage.learner, stage.feed, stage.options, stage.validate
        self.position.stage_epoch, self.position.epochs_without_gain = stage.phase.start, 0
        self.keep.learner = self.learner
        self._callbacks.set_model(self.learner)
        self.learner.make_train_function()
        self.learner.stop_training = False
        self._progress, self._clock_runs = self._phase_progress(stage.phase), False

    def _phase_progress(self, phase: Phase) -> Progress:
        """Percent and ETA are those of the phase: an epoch of the next one may take a hundred times as long."""
        plan = phases.parse(self.options.freeze, self.options.unfreeze_epoch, self.options.epochs)
        label = f"phase {plan.index(phase) + 1} of {len(plan)}" if len(plan) > 1 else ""
        return Progress(phase.epochs * self.feed.steps, label)

    def _go_to(self, stored: Checkpoint) -> None:
        position = Position(**stored.position)
        if self.stage is None or position.stage_epoch != self.position.stage_epoch:
            stored.restore_first(self.keep.whole.variables)  # a stage may compute features with them
            self.enter(position.stage_epoch)
        stored.restore(self.learner.state)
        self.position = position

    def resume(self, stored: Checkpoint) -> None:
        """Goes on where `stored` was saved; where there are more epochs now, says what that does to the schedule."""
        self._go_to(stored)
        position = self.position
        note(f"Resumed after {position.epoch} epochs and {position.step_in_epoch} steps.")
        if position.epochs != self.options.epochs:
            position.finished, position.epochs_without_gain = False, 0
            rate = float(keras.ops.convert_to_numpy(self.learner.optimizer.learning_rate))
            before = f" (it was {position.history[-1]['learning_rate']:.4g})" if position.history else ""
            note(
                f"Epochs: {self.options.epochs} instead of {position.epochs}. The schedule {self.options.schedule} is "
                f"stretched over all of them: the learning rate goes on at {rate:.4g}{before}."
            )
            position.epochs = self.options.epochs

    def _steps_done(self) -> int:
        return self.position.epoch * self.feed.steps + self.position.step_in_epoch

    def _epoch(self) -> None:
        position = self.position
        self.learner.rate_factor.assign(LOWER ** len(position.rollbacks))
        if position.step_in_epoch == 0:
            self.learner.epoch.assign(position.epoch)
            self.learner.reset_metrics()
        self._callbacks.on_epoch_begin(position.epoch)
        iterator = iter(timed(self.feed.batches(position.epoch, position.step_in_epoch)))
        while position.step_in_epoch < self.feed.steps:
            self._execution(iterator)
        self._end_epoch()

    def _execution(self, iterator) -> None:
        """One call into TensorFlow: a few steps, and what follows from them."""
        position = self.position
        began = time.perf_counter()
        self._callbacks.on_train_batch_begin(position.step_in_epoch)
        try:
            results = self.learner.train_function(iterator)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(memory.exhausted(self.options)) from error
        logs = {name: float(value) for name, value in results.items()}
        position.step_in_epoch = min(position.step_in_epoch + self.options.steps_per_execution, self.feed.steps)
        position.seconds_in_epoch += time.perf_counter() - began
        if not self._orderly:  # until now, while the step was traced, a signal had nothing to save and ended at once
            self._to_the_end.enter_context(signals.orderly())
            self._orderly = True
        self._callbacks.on_train_batch_end(position.step_in_epoch - 1, logs)
        if not np.isfinite(logs["loss"]):
            raise Diverged(f"The loss became {logs['loss']}.")
        self._look_at_weights()
        self._show(logs)
        if signals.requested():
            self._interrupt()
        if self._due() and position.step_in_epoch < self.feed.steps:
            self._checkpoint()

    def _show(self, logs: dict[str, float]) -> None:
        done = self._steps_done() - self.stage.phase.start * self.feed.steps
        if not self._clock_runs:  # the first call traced the step, which says nothing of the others
            self._progress.start_at(done)
            self._clock_runs = True
        self._progress.update(done, self._line(logs))

    def _look_at_weights(self) -> None:
        """Now and then: ReLU makes 0 of NaN, so that the loss may stay finite when weights are not."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY:
            self._looked_at = time.monotonic()
            if not all(np.isfinite(weight.numpy()).all() for weight in self.learner.view.weights):
                raise Diverged("The weights are not finite.")

    def _end_epoch(self) -> None:
        position = self.position
        try:
            row = self._row()
        except signals.Interrupted:  # validation asks too; the state is that of the epoch's last step
            self._interrupt()
        position.history.append(row)
        better = self._judge(row)
        position.epoch, position.step_in_epoch, position.seconds_in_epoch = position.epoch + 1, 0, 0.0
        patience = self.options.early_stopping
        last_stage = self.stage.phase.stop == self.options.epochs  # the others end by their epochs
        position.finished = bool(patience) and last_stage and position.epochs_without_gain >= patience
        self._callbacks.on_epoch_end(position.epoch - 1, row)
        last = position.epoch == self.options.epochs or self._stopped()
        self.keep.epoch(position.history, better)
        if (self._unit == "epochs" and position.epoch % self._every == 0) or last:
            self._checkpoint()
        self._progress.clear()
        note(self._epoch_line(row, better))
        if position.finished and position.epoch < self.options.epochs:
            note(f"Stopped: {patience} epochs without a better {self.options.monitor}.")

    def _interrupt(self) -> NoReturn:
        """Saves the run where it stands; without a run directory there is nothing to save in."""
        self._checkpoint()
        self.keep.settle()
        self._progress.clear()
        position, done = self.position, "Stopped and saved" if self.keep.run else "Stopped"
        note(f"{done} in epoch {position.epoch + 1}, after step {position.step_in_epoch} of {self.feed.steps}.")
        signals.check()

    def _roll_back(self, error: Diverged) -> None:
        """Goes back to the newest good checkpoint with a lower learning rate; the best model so far stays the best.

        The checkpoint is written again with the count of rollbacks, so that a killed run goes on from there.
        """
        position, stored = self.position, self.keep.newest()
        if self.options.on_nan == "stop" or stored is None or len(position.rollbacks) == MOST_ROLLBACKS:
            raise Diverged(f"{error} {self._divergence(stored)}") from error
        self._go_to(stored)
        self.position.best, self.position.best_epoch = position.best, position.best_epoch
        happened = {"epoch": position.epoch + 1, "step": position.step_in_epoch, "back_to_step": self._steps_done()}
        self.position.rollbacks = [*position.rollbacks, happened]
        factor = LOWER ** len(self.position.rollbacks)
        self._clock_runs = False
        self._checkpoint()
        self._progress.clear()
        warn(
            f"{error} Epoch {happened['epoch']}, step {happened['step']}: back to step {happened['back_to_step']} of the "
            f"run with {factor:g} times the learning rate ({len(self.position.rollbacks)} of {MOST_ROLLBACKS})."
        )

    def _divergence(self, good: Checkpoint | None) -> str:
        """Where that was, and what can be done."""
        position = self.position
        where = f"Epoch {position.epoch + 1}, step {position.step_in_epoch} of {self.feed.steps}"
        rate = float(keras.ops.convert_to_numpy(self.learner.optimizer.learning_rate))
        steps = good and good.position["epoch"] * self.feed.steps + good.position["step_in_epoch"]
        last = f" The last good checkpoint is that of step {steps} of the run." if good else ""
        again = f" It was rolled back {len(position.rollbacks)} times." if position.rollbacks else ""
        return f"{where}, learning rate {rate:.4g}.{again}{last} Try a lower --learning_rate, --clip_norm=1 or --on_nan=rollback."

    def _row(self) -> dict[str, Any]:
        position, seconds = self.position, max(self.position.seconds_in_epoch, 1e-9)
        logs = {metric.name: float(metric.result()) for metric in self.learner.metrics}
        with self.keep.averaged():
            validation = self.validate()
        row = {
            "epoch": position.epoch + 1,
            "step": (position.epoch + 1) * self.feed.steps,
            "loss": logs["loss"],
            "accuracy": logs["accuracy"],
            **validation,
            "learning_rate": float(keras.ops.convert_to_numpy(self.learner.optimizer.learning_rate)),
            "seconds": seconds,
            "images_per_second": self.feed.images / seconds,
            "data_wait": logs["data_wait"] / seconds,
        }
        return {name: row.get(name) for name in COLUMNS}

    def _judge(self, row: dict[str, Any]) -> bool:
        """Whether `row` is the best so far by the monitored column; without validation the last epoch is."""
        value = row.get(self.options.monitor)
        if value is None:
            return True
        if not all(np.isfinite(number) for number in row.values() if isinstance(number, float)):
            self.position.epochs_without_gain += 1
            return False
        score = -value if self.options.monitor.endswith("loss") else value
        position = self.position
        better = position.best is None or score >= position.best
        gained = position.best is None or score > position.best
        if better:
            position.best, position.best_epoch = score, row["epoch"]
        position.epochs_without_gain = 0 if gained else position.epochs_without_gain + 1
        return better

    def _due(self) -> bool:
        if self._unit == "steps":
            return self._steps_done() % self._every < self.options.steps_per_execution
        return self._unit == "minutes" and time.monotonic() - self._saved_at >= 60 * self._every

    def _checkpoint(self) -> None:
        self._saved_at = time.monotonic()
        self.keep.checkpoint(self._steps_done(), self.position)

    def _line(self, logs: dict[str, float]) -> str:
        position, seconds = self.position, max(self.position.seconds_in_epoch, 1e-9)
        speed = self.feed.images * position.step_in_epoch / self.feed.steps / seconds
        return (
            f"epoch {position.epoch + 1}/{self.options.epochs}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}  "
            f"{speed:,.0f} images/s  waiting for data {logs['data_wait'] / seconds:.0%}"
        )

    def _epoch_line(self, row: dict[str, Any], better: bool) -> str:
        parts = [
            f"epoch {row['epoch']}/{self.options.epochs}",
            f"loss {row['loss']:.4f}",
            f"accuracy {row['accuracy']:.4f}",
            f"{row['images_per_second']:,.0f} images/s",
            f"waiting for data {row['data_wait']:.0%}",
            duration(row["seconds"]),
        ]
        if row["val_accuracy"] is not None:
            star = " *" if better else ""
            parts[3:3] = [f"val_loss {row['val_loss']:.4f}", f"val_accuracy {row['val_accuracy']:.4f}{star}"]
        return "  ".join(parts)
