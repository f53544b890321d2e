"""Oracles: keras-tuner's, journaled and with a median rule that stops hopeless trials, and the one place where one is made."""

import statistics
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle

from keras_imgcls.tuning.asha import FACTOR, Asha
from keras_imgcls.tuning.hypermodel import hyperparameters
from keras_imgcls.tuning.journal import Journal
from keras_imgcls.tuning.journaled import Journaled, synchronized
from keras_imgcls.tuning.objective import Objective
from keras_imgcls.tuning.space import Space

LEAST_PEERS = 3  # reports that a median takes


class MedianStopping:
    """Mixed into an oracle: stops a trial whose best is below the median of what others had on average by that epoch.

    The median stopping rule of Golovin et al. 2017 (Google Vizier), from a quarter of the epochs on.
    """

    max_epochs = 0
    median = True

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """As `Journaled.update_trial`; the trial's status is STOPPED where it is hopeless."""
        trial = super().update_trial(trial_id, metrics, step)
        if self.median and self.max_epochs / 4 <= step < self.max_epochs and self._hopeless(trial, step):
            trial.status = "STOPPED"
        return trial

    def _hopeless(self, trial: Trial, step: int) -> bool:
        sign = 1 if self.objective.direction == "max" else -1
        others = [self._values(other, step) for other in self.trials.values() if other is not trial]
        averages = [sign * statistics.fmean(values.values()) for values in others if step in values]
        own = max(sign * value for value in self._values(trial, step).values())
        return len(averages) >= LEAST_PEERS and own < statistics.median(averages)

    def _values(self, trial: Trial, last: int) -> dict[int, float]:
        if not trial.metrics.exists(self.objective.name):
            return {}
        history = trial.metrics.get_history(self.objective.name)
        return {seen.step: float(seen.mean()) for seen in history if seen.step <= last}


class Random(MedianStopping, Journaled, RandomSearchOracle):
    """Random search."""


class Grid(MedianStopping, Journaled, GridSearchOracle):
    """Every combination; ranges without a step count as ten values."""


class Bayesian(MedianStopping, Journaled, BayesianOptimizationOracle):
    """A Gaussian process over the values, with an upper confidence bound."""


class Hyperband(Journaled, HyperbandOracle):
    """Hyperband; a trial of a higher rung continues the run of the one that it names."""


def make(
    tuner: str,
    space: Space,
    goal: Objective,
    folder: Path,
    *,
    max_trials: int,
    max_epochs: int,
    seed: int,
    median: bool = True,
) -> Journaled:
    """The oracle of a search whose files lie in `folder`.

    Args:
        tuner: `asha`, `random`, `grid`, `bayesian` or `hyperband`.
        space: what is searched.
        goal: what is looked for.
        folder: the search's folder; `journal.jsonl`, `keras_tuner/` and `trials/` are in it.
        max_trials: trials at most (for hyperband: rungs, which it counts as trials); 0: no cap.
        max_epochs: epochs of a trial that is trained to the end.
        seed: of what is drawn.
        median: whether hopeless trials are stopped; asha and hyperband have rules of their own.
    """
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(goal.metric, "max" if goal.largest else "min"),
        "hyperparameters": hyperparameters(space),
        "allow_new_entries": False,
        "seed": seed + 1,  # 0 would mean a random one to keras-tuner
        "max_consecutive_failed_trials": 10
        ** 9,  # it would end the search holding its lock; `search` counts failures itself
    }
    if tuner == "asha":
        oracle = Asha(max_epochs, goal, **options)
    elif tuner == "hyperband":
        oracle = Hyperband(max_epochs=max_epochs, factor=FACTOR, **options)
    else:
        oracle = {"random": Random, "grid": Grid, "bayesian": Bayesian}[tuner](**options)
        oracle.median, oracle.max_epochs = median and not goal.costs, max_epochs
    oracle.max_trials, oracle.cap, oracle.verbose = None, max_trials, 0
    oracle.journal, oracle.failures = Journal(folder / "journal.jsonl"), folder / "trials"
    oracle._set_project_dir(str(folder), "keras_tuner")
    return oracle
