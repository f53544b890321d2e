"""What a search leaves to be read: `trials.csv`, `search.html`, TensorBoard's HParams, and which trial is the best."""

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_imgcls.core import files
from keras_imgcls.tuning import hparams, journal, page
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.objective import COSTS, Objective, fronts
from keras_imgcls.tuning.plan import BY_RUNGS, Plan

EVERY_SECONDS = 60.0


def best(records: Sequence[Record], objective: Objective) -> Record | None:
    """The trial with the best epoch; None where none has come to the end of one. Failed trials don't count."""
    scored = [record for record in records if record.status != "failed" and record.epochs]
    return max(scored, key=lambda record: objective.sign(score(record, objective)), default=None)


def score(record: Record, objective: Objective) -> float | None:
    """The trial's best epoch by the objective's metric."""
    return record.best(objective.metric, objective.largest)


def pareto(records: Sequence[Record], objective: Objective) -> list[str]:
    """The names of the trials that no other one beats in the metric and in all costs at once."""
    scored = [record for record in records if record.status != "failed" and record.epochs]
    points = [(objective.sign(score(r, objective)), *(-cost(r, name) for name in objective.costs)) for r in scored]
    return [record.name for record, front in zip(scored, fronts(points), strict=True) if front == 0]


def cost(record: Record, name: str) -> float:
    """What the trial's model costs."""
    return next(iter(record.epochs.values()))[name]


def status(record: Record, ready: Plan) -> str:
    """The record's, and for a trial that has ended whether it was trained to its last epoch or left behind before."""
    epochs = ready.space.config(ready.base, record.values).epochs
    if record.status == "ended" and max(record.epochs, default=0) < epochs:
        return "paused" if ready.config.tuner in BY_RUNGS else "stopped"
    return record.status


def rows(ready: Plan, records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a trial: its name, status, epochs, best score, seconds, values, costs where they are known, and why it failed."""
    names = list(dict.fromkeys(parameter.name for parameter in ready.space.parameters))
    on_front = pareto(records, ready.objective) if ready.objective.costs else []
    found = []
    for record in records:
        values, costs = ready.space.shown(record.values), next(iter(record.epochs.values()), {})
        row = {"trial": record.name, "status": status(record, ready), "epochs": max(record.epochs, default=0)}
        row |= {ready.objective.name: score(record, ready.objective), "seconds": round(record.seconds, 1)}
        row |= {name: values.get(name) for name in names}
        row |= {name: costs.get(name) for name in COSTS if any(name in m for r in records for m in r.epochs.values())}
        if ready.objective.costs:
            row["pareto"] = record.name in on_front
        found.append(row | {"reason": record.reason})
    return found


def write(folder: Folder, ready: Plan, records: Sequence[Record]) -> None:
    """Writes `trials.csv`, `search.html` and the HParams of all trials."""
    table = rows(ready, records)
    if table:
        files.write_csv(folder.table, list(table[0]), [row.values() for row in table])
    files.write_text(folder.page, page.render(ready, records, table))
    hparams.write(folder.tensorboard, ready, records)


class Reporter:
    """Writes what is to be seen of a search while it runs, now and then: at most a 30th of the time goes into it."""

    def __init__(self, folder: Folder, ready: Plan) -> None:
        """Writes nothing before the first minute is over."""
        self._folder, self._ready = folder, ready
        self._next = time.monotonic() + EVERY_SECONDS

    def look(self) -> None:
        """Writes, where it is time to."""
        began = time.monotonic()
        if began >= self._next:
            self.write()
            now = time.monotonic()
            self._next = now + max(EVERY_SECONDS, 30 * (now - began))

    def write(self) -> None:
        """Writes what the journal tells by now."""
        write(self._folder, self._ready, journal.records(journal.Journal(self._folder.journal).events()))


def history(run: Path) -> list[dict[str, str]]:
    """The rows of a run's `history.csv`."""
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
