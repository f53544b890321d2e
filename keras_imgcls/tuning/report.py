"""What a search leaves to be read: `trials.csv`, `search.html`, TensorBoard's HParams, and which trial is the best."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_imgcls.core import files
from keras_imgcls.tuning import hparams, page
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.objective import COSTS, Objective, fronts
from keras_imgcls.tuning.plan import Plan


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


def rows(ready: Plan, records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a trial: its name, status, epochs, best score, seconds, values, costs where they are known, and why it failed."""
    names = list(dict.fromkeys(parameter.name for parameter in ready.space.parameters))
    on_front = pareto(records, ready.objective) if ready.objective.costs else []
    found = []
    for record in records:
        values, costs = ready.space.shown(record.values), next(iter(record.epochs.values()), {})
        row = {"trial": record.name, "status": record.status, "epochs": max(record.epochs, default=0)}
        row |= {ready.objective.name: score(record, ready.objective), "seconds": round(record.seconds, 3)}
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


def history(run: Path) -> list[dict[str, str]]:
    """The rows of a run's `history.csv`."""
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
