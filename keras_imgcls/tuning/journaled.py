"""What is mixed into every oracle: a journal, so that a search survives, and keras-tuner's own files whole or not at all."""

import json
import os
import time
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from keras_imgcls.core import files
from keras_imgcls.core.console import warn
from keras_imgcls.tuning.journal import Journal

synchronized = keras_tuner.synchronized


class Journaled:
    """Mixed into an oracle: every event is in the journal before the trial hears of it, and keras-tuner's files are whole."""

    journal: Journal
    cap = 0  # trials at most; 0: no cap. keras-tuner's own `max_trials` would change the width of trial ids on a resume
    silent = False  # while events are replayed

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for a worker: the one it was at, one that was interrupted, or a new one."""
        known = tuner_id in self.ongoing_trials
        if not known and not self._retry_queue and self.cap and len(self.trials) >= self.cap:
            trial = self._when_full()
        else:
            trial = super().create_trial(tuner_id)
        if trial.status == "RUNNING" and not known:
            self._began(tuner_id, trial)
        if trial.status == "STOPPED":
            self.tuner_ids.discard(tuner_id)
        return trial

    def _began(self, tuner_id: str, trial: Trial) -> None:
        values = dict(trial.hyperparameters.values)
        self._write({"event": "begin", "trial": trial.trial_id, "tuner": tuner_id, "values": values})

    def _when_full(self) -> Trial:
        return Trial(self.get_space(), "", "IDLE" if self.ongoing_trials else "STOPPED")

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """Takes a worker's report of an epoch; the answer says how far to go (`tuner/epochs`), its status whether to stop."""
        metrics = dict(metrics)
        trial = super().update_trial(trial_id, metrics, step=step)
        self._write({"event": "epoch", "trial": trial_id, "epoch": step, "metrics": metrics})
        return trial

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes a trial back, ended (for now) or failed."""
        own = self.trials[trial.trial_id]
        own.message = trial.message or failure(self.failures, trial.trial_id)
        ended = Trial(own.hyperparameters, trial.trial_id, trial.status, own.message)
        super().end_trial(ended)
        reason = "" if own.status == "COMPLETED" else own.message or "unknown"
        self._write({"event": "end", "trial": trial.trial_id, "status": own.status, "reason": reason})

    def _write(self, event: dict[str, Any]) -> None:
        if not self.silent:
            self.journal.append(event | {"time": round(time.time(), 3)})

    def save(self) -> None:
        """keras-tuner's `oracle.json`, whole or not at all. It is for other tools: a resume reads the journal alone."""
        if not self.silent:
            _replace(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        if not self.silent:
            _replace(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def replay(self, events: list[dict[str, Any]]) -> None:
        """Brings a new oracle to where the one was that wrote `events`; trials without an end are given out again first."""
        cap, self.silent = self.cap, True
        for event in events:
            self._replay(event)
        self._interrupt()
        self.cap, self.silent = cap, False
        for trial in self.trials.values():
            self._save_trial(trial)
        self.save()

    def _replay(self, event: dict[str, Any]) -> None:
        kind, trial_id = event["event"], event.get("trial")
        if kind == "session":
            self._interrupt()
            self.cap = event["cap"]
        elif kind == "begin":
            trial = self.create_trial(event["tuner"])
            if trial.trial_id != trial_id:
                raise ValueError(f"the journal goes on with trial {trial_id}, the oracle with {trial.trial_id}")
            if trial.hyperparameters.values != event["values"]:  # drawn after other collisions than then
                trial.hyperparameters.values = dict(event["values"])
                self._record_values(trial)
        elif trial_id not in self.trials:
            warn(f"the journal tells of trial {trial_id} before it began; passed over.")
        elif kind == "epoch":
            self.update_trial(trial_id, event["metrics"], event["epoch"])
        else:
            own = self.trials[trial_id]
            self.end_trial(Trial(own.hyperparameters, trial_id, event["status"], event["reason"]))

    def open_session(self) -> None:
        """Says in the journal that a process goes on from here, and with how many trials at most."""
        self._write({"event": "session", "cap": self.cap})

    def _interrupt(self) -> None:
        waiting = [trial.trial_id for trial in self.ongoing_trials.values()]
        self._retry_queue = [*sorted(waiting, reverse=True), *self._retry_queue]  # taken from the end
        self.ongoing_trials.clear()
        self.tuner_ids.clear()


def _replace(path: Path, state: Any) -> None:
    """Writes a file that a reader finds whole or as it was; not flushed, since the journal can make it again."""
    part = path.with_suffix(".part")
    try:
        with files.told(path):
            part.write_text(json.dumps(state), encoding="utf-8")
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def failure(folder: Path, trial_id: str) -> str:
    """Why a trial failed, as its worker left it in `folder`: keras-tuner's service between machines carries no reasons."""
    path = folder / f"{trial_id}.failed"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
