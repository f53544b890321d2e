"""Asynchronous successive halving, as an oracle of keras-tuner that hears of every epoch."""

from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from keras_imgcls.tuning.journal import OWN
from keras_imgcls.tuning.journaled import Journaled, synchronized
from keras_imgcls.tuning.objective import Objective, fronts

EPOCHS = f"{OWN}epochs"
FACTOR = 3  # of successive halving (Li et al. 2018): a third goes on, for three times as long
RUNGS = 4  # at most: the lowest gives a trial a 27th of its epochs


def rungs(max_epochs: int) -> list[int]:
    """The epochs at which trials are compared, each at least three times the one below: 1, 4, 12 of 12, and 2, 6, 20 of 20."""
    return [max_epochs // FACTOR**rung for rung in reversed(range(RUNGS)) if max_epochs >= FACTOR**rung]


class Asha(Journaled, keras_tuner.Oracle):
    """Asynchronous successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934), the promoting kind.

    A trial pauses at each rung; the best third of those that reached a rung goes on from where it stood, at once where it is
    among them when it arrives. With costs in the objective, "best" is by fronts (Schmucker et al. 2021), then by the metric.
    """

    def __init__(self, max_epochs: int, goal: Objective, **options: Any) -> None:
        """`max_epochs`: epochs at the highest rung; `goal`: what ranks the trials of a rung; the rest as keras-tuner's Oracle."""
        super().__init__(**options)
        self.goal = goal
        self.milestones = rungs(max_epochs)
        self._rungs: list[dict[str, tuple[float, ...]]] = [{} for _ in self.milestones]
        self._aims: dict[str, int] = {}  # trial -> the rung that it is on its way to, or paused at

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """A trial that may go on, from the highest rung down; else a new one."""
        if tuner_id in self.ongoing_trials or self._retry_queue:
            return super().create_trial(tuner_id)
        promoted = self._promotable() or self._last_hope()
        if not promoted:
            return super().create_trial(tuner_id)
        trial = self.trials[promoted]
        self._promote(trial)
        trial.status = "RUNNING"
        self.tuner_ids.add(tuner_id)
        self.ongoing_trials[tuner_id] = trial
        self.end_order.remove(promoted)
        self._began(tuner_id, trial)
        return trial

    def _compute_values_hash(self, values: dict[str, Any]) -> str:
        return super()._compute_values_hash({name: value for name, value in values.items() if name != EPOCHS})

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Random values, to be trained to the first rung."""
        values = self._random_values()
        if values is None:
            return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
        self._aims[trial_id] = 0
        return {"status": "RUNNING", "values": {**values, EPOCHS: self.milestones[0]}}

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """As `Journaled.update_trial`; at a rung, a trial among its best third is told to go on."""
        trial = super().update_trial(trial_id, metrics, step)
        rung = self._aims[trial_id]
        if step >= self.milestones[rung]:
            best = self.goal.sign(float(trial.metrics.get_best_value(self.goal.metric)))
            self._rungs[rung][trial_id] = (best, *(-metrics[cost] for cost in self.goal.costs))
            if rung + 1 < len(self.milestones) and trial_id in self._best_third(rung):
                self._promote(trial)
        return trial

    def _promote(self, trial: Trial) -> None:
        self._aims[trial.trial_id] += 1
        trial.hyperparameters.values[EPOCHS] = self.milestones[self._aims[trial.trial_id]]

    def _promotable(self) -> str | None:
        for rung in reversed(range(len(self.milestones) - 1)):
            for trial_id in self._best_third(rung):
                if self._paused(trial_id, rung):
                    return trial_id
        return None

    def _last_hope(self) -> str | None:
        """Where no trial can be added and none has come to the last epoch, the best of those that came farthest."""
        if self.ongoing_trials or not self.cap or len(self.trials) < self.cap or self._rungs[-1]:
            return None
        for rung in reversed(range(len(self.milestones) - 1)):
            for trial_id in self._ranked(rung):
                if self._paused(trial_id, rung):
                    return trial_id
        return None

    def _paused(self, trial_id: str, rung: int) -> bool:
        return self._aims[trial_id] == rung and self.trials[trial_id].status == "COMPLETED"

    def _best_third(self, rung: int) -> list[str]:
        return self._ranked(rung)[: len(self._rungs[rung]) // FACTOR]

    def _ranked(self, rung: int) -> list[str]:
        reached = self._rungs[rung]
        front = dict(zip(reached, fronts(list(reached.values())), strict=True))
        return sorted(reached, key=lambda trial_id: (front[trial_id], -reached[trial_id][0]))
