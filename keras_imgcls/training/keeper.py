"""What a run keeps while it trains: history.csv, the best model, checkpoints. Without a run directory it keeps weights only."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from keras_imgcls.core import files
from keras_imgcls.core.model_file import read_model_config
from keras_imgcls.core.run import Run
from keras_imgcls.training import checkpoint
from keras_imgcls.training.checkpoint import Checkpoint, Diverged
from keras_imgcls.training.learner import Learner


class Keeper:
    """Writes the files of a run; holds the best weights so that the model ends with them."""

    learner: Learner  # shares the model's variables; the loop sets it with each stage

    def __init__(self, model: keras.Model, run: Run | None, whole: keras.Model | None = None) -> None:
        """Stores the plain model, the run (None: nothing is written) and what is trained, where that is more than `model`."""
        self.model, self.run, self.whole = model, run, whole or model
        self._best: list[np.ndarray] | None = None
        self._writer, self._pending = ThreadPoolExecutor(1, "checkpoint"), None

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the model has its averaged weights, where averages are kept."""
        average = self.learner.average
        if average:
            average.swap()
        try:
            yield
        finally:
            if average:
                average.swap()

    def epoch(self, history: list[dict[str, Any]], better: bool) -> None:
        """Writes the history and, where this epoch is the best, the model."""
        if better:
            with self.averaged():
                weights = self.model.get_weights()
                if not all(np.isfinite(weight).all() for weight in weights):
                    raise Diverged(f"The weights after epoch {history[-1]['epoch']} are not finite.")
                self._best = weights
                if self.run:
                    self.settle()  # model.keras is never more than an epoch ahead of the checkpoints
                    save_model(self.model, self.run)
        if self.run:
            files.write_csv(self.run.history, list(history[0]), [row.values() for row in history])

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies."""
        self.settle()
        return checkpoint.load(self.run.checkpoints) if self.run else None

    def checkpoint(self, step: int, position) -> None:
        """Takes the whole state of the run as it is now; a thread writes it while training goes on.

        Raises:
            Diverged: a weight is not finite.
            UserError: the checkpoint before this one could not be written.
        """
        if self.run:
            self.settle()
            arrays = checkpoint.snapshot(step, self.learner.state)
            self._pending = self._writer.submit(checkpoint.write, self.run.checkpoints, step, arrays, asdict(position))

    def settle(self) -> None:
        """Waits until the last checkpoint stands.

        Raises:
            UserError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def finish(self) -> None:
        """Leaves the model with its best weights (after a resume they may have to be read back)."""
        if self._best is None and self.run and self.run.model.is_file():
            read_model_config(self.run.model)  # refuses what is no plain model
            self.model.load_weights(self.run.model)
            self._best = self.model.get_weights()
        if self._best is not None:
            self.model.set_weights(self._best)


def save_model(model: keras.Model, run: Run) -> None:
    """Writes `model.keras`, whole or not at all."""
    with files.atomic(run.model) as temporary:
        model.save(temporary)
