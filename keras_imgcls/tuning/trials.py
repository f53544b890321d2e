"""One trial: from the values that an oracle chose to runs that are trained as far as it says, every epoch reported to it."""

import math
import statistics
import threading
import time
from typing import Any

from keras_imgcls.core import config as config_module
from keras_imgcls.core import files
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.model_arguments import settle_model
from keras_imgcls.tuning.board import Board
from keras_imgcls.tuning.executor import Executor, TrialFailed
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.journal import OWN
from keras_imgcls.tuning.plan import Plan


class Trials:
    """Trains trials of one search; several threads may use it at once, each with its executor."""

    def __init__(self, plan: Plan, classes: int, folder: Folder, board: Board, deadline: float) -> None:
        """`classes`: how many the data has; `deadline`: on the monotonic clock, when trials are to pause."""
        self.plan, self.classes, self.folder, self.board, self.deadline = plan, classes, folder, board, deadline
        self.stop = threading.Event()
        self.failed = self.ended = 0
        self._known_costs: dict[tuple, dict[str, float]] = {}

    @property
    def over(self) -> bool:
        """Whether no trial is to go on."""
        return self.stop.is_set() or time.monotonic() >= self.deadline

    def run(self, oracle: Any, trial: Any, executor: Executor) -> None:
        """Trains `trial` to where `oracle` wants it and hands it back; where time is over, leaves it to a resume."""
        name = self._name(oracle, trial)
        values = {key: value for key, value in trial.hyperparameters.values.items() if not key.startswith(OWN)}
        self.board.began(name, self.plan.space.shown(values))
        try:
            finished = self._train(oracle, trial, name, self.plan.space.config(self.plan.base, values), executor)
        except TrialFailed as failed:
            trial.status, trial.message = "FAILED", str(failed)
            files.write_text(self.folder.trials / f"{trial.trial_id}.failed", f"{failed}\n")
            self.failed += not trial.message.startswith("rejected")
        else:
            if not finished:
                return
            trial.status = "COMPLETED"
            self.ended += 1
        oracle.end_trial(trial)
        self.board.ended(name, trial.message or "")

    def _name(self, oracle: Any, trial: Any) -> str:
        """The folder of its run: that of the trial which a trial of Hyperband's higher rungs continues."""
        while f"{OWN}trial_id" in trial.hyperparameters.values:
            trial = oracle.get_trial(trial.hyperparameters.values[f"{OWN}trial_id"])
        return trial.trial_id

    def _train(self, oracle: Any, trial: Any, name: str, config: TrainConfig, executor: Executor) -> bool:
        """Whether the trial is where it was to go."""
        costs = self._costs(config, name, executor)
        epoch = self._known(trial)
        until = self._until(trial, config)
        while epoch < until and not self.over:
            leg = _Leg(self, oracle, trial, name, costs, until)
            epoch = leg.run(config, epoch, executor)
            until = 0 if leg.hopeless else self._until(leg.trial, config)
        if not epoch:
            if self.over:
                return False
            raise TrialFailed("no epoch was reported")
        return epoch >= until

    def _costs(self, config: TrainConfig, name: str, executor: Executor) -> dict[str, float]:
        if not self.plan.needs_costs:
            return {}
        architecture = settle_model(config).model, config.image_size, config.channels
        if architecture not in self._known_costs:  # one latency for all trials of an architecture, too
            more = {"convert": self.plan.converts, "limit_kb": self.plan.config.max_tflite_kb}
            job = self.job("cost", name, config) | {"classes": self.classes, **more}
            self._known_costs[architecture] = executor.run(job)
        costs = self._known_costs[architecture]
        rejection = self.plan.rejection(costs)
        if rejection:
            raise TrialFailed(rejection)
        return costs

    def _known(self, trial: Any) -> int:
        """The last epoch that the oracle has heard of."""
        metric, heard = self.plan.objective.metric, trial.hyperparameters.values.get(f"{OWN}initial_epoch", 0)
        steps = [seen.step for seen in trial.metrics.get_history(metric)] if trial.metrics.exists(metric) else []
        return max([heard, *steps])

    def _until(self, trial: Any, config: TrainConfig) -> int:
        return min(trial.hyperparameters.values.get(f"{OWN}epochs", config.epochs), config.epochs)

    def job(self, job: str, name: str, config: TrainConfig, execution: int = 0) -> dict[str, Any]:
        """A job on one of the runs of a trial."""
        run_dir = str(self.folder.trial(name, execution).absolute())
        config = config_module.replace(config, run_dir=run_dir, seed=config.seed + execution)
        return {"job": job, "flags": vars(config), "log": str(self.folder.log(name).absolute())}


class _Leg:
    """A way from one epoch to another, through all executions of a trial; the last one's epochs are reported, as means of all."""

    def __init__(self, trials: Trials, oracle: Any, trial: Any, name: str, costs: dict[str, float], until: int) -> None:
        self.trials, self.oracle, self.trial, self.name, self.costs, self.until = (
            trials,
            oracle,
            trial,
            name,
            costs,
            until,
        )
        self.executions = trials.plan.config.executions_per_trial
        self.hopeless = False
        self.reported = 0
        self._rows: dict[int, list[dict[str, float]]] = {}

    def run(self, config: TrainConfig, known: int, executor: Executor) -> int:
        """Trains; returns the last epoch that was reported."""
        self.reported = known
        for execution in range(self.executions):
            last = execution + 1 == self.executions
            job = self.trials.job("train", self.name, config, execution)
            job |= {"until": self.until, "known": known if last else 0}
            executor.run(job, self._report if last else self._remember)
            if self.trials.over:
                break
        return self.reported

    def _remember(self, epoch: int, metrics: dict[str, float]) -> int:
        self._rows.setdefault(epoch, []).append(metrics)
        return 0 if self.trials.over else self.until

    def _report(self, epoch: int, metrics: dict[str, float]) -> int:
        rows = [*self._rows.get(epoch, ()), metrics]
        means = {name: statistics.fmean(row[name] for row in rows if name in row) for name in metrics}
        metric = self.trials.plan.objective.metric
        if metric not in means:
            raise TrialFailed("there are no validation images to score it by: give --validation_fraction")
        if not math.isfinite(means[metric]):
            raise TrialFailed(f"{metric} became {means[metric]} in epoch {epoch}")
        finite = {name: value for name, value in means.items() if math.isfinite(value)}
        answer = self.oracle.update_trial(self.trial.trial_id, {**finite, **self.costs}, step=epoch)
        self.trial.hyperparameters, self.reported = answer.hyperparameters, epoch
        self.hopeless = answer.status == "STOPPED"
        aim = answer.hyperparameters.values.get(f"{OWN}epochs", self.until)
        stops = self.trials.over or self.hopeless
        self.trials.board.epoch(self.name, epoch, means[metric], goes_on=not stops and epoch < aim)
        if stops:
            return 0
        return self.until if self.executions > 1 else aim  # the other executions have yet to follow to a later rung
