"""`search.html`, which needs no network: curves, parallel coordinates, importance, slices, the Pareto front, the table."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from keras_imgcls.core.console import duration
from keras_imgcls.tuning import charts
from keras_imgcls.tuning.charts import Mark, escape
from keras_imgcls.tuning.importance import LEAST_TRIALS, importance
from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.plan import BY_RUNGS, Plan
from keras_imgcls.tuning.space import rounded


def render(ready: Plan, records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> str:
    """The page, as HTML."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    parts = [_head(ready, records, rows)]
    if scored:
        marks = _marks(ready, scored)
        metric = ready.objective.name
        parts.append(_best(ready, marks))
        parts += [_section(f"{metric} by epoch", _rule(ready), charts.curves(marks, metric, ready.base.epochs))]
        parts += [_section("All trials", "", charts.parallel(marks, ready.space.parameters, metric))]
        parts += [_section("Importance", *_importance(ready, scored, marks))]
        slices = "".join(charts.slice_of(parameter, marks) for parameter in ready.space.parameters)
        parts += [_section("Each flag", "", slices)]
        parts += [
            _section(f"{metric} against {cost}", "Orange: no other trial is better in everything.", chart)
            for cost, chart in ((cost, _front(cost, scored, marks, rows)) for cost in ready.objective.costs)
        ]
    parts += [_section("Table", "A click on a heading sorts by it.", _table(rows, ready))]
    frame = resources.files("keras_imgcls.tuning").joinpath("page.html").read_text(encoding="utf-8")
    return frame.replace("<!-- content -->", "\n".join(parts))


def _head(ready: Plan, records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> str:
    counts = {status: sum(row["status"] == status for row in rows) for status in dict.fromkeys(_STATUS)}
    told = ", ".join(f"{count} {_STATUS[status]}" for status, count in counts.items() if count)
    seconds = duration(sum(record.seconds for record in records))
    return (
        f"<h1>Search of {escape(ready.base.dataset or ready.base.data_dir)} by {ready.config.tuner}</h1>"
        f"<p>{len(records)} trials{told and ': '}{told}; {seconds} of training steps in all. "
        f"In all trials: {escape(ready.shared())}.</p>"
    )


_STATUS = {
    "ended": "trained to the last epoch",
    "paused": "paused on the way",
    "stopped": "stopped on the way",
    "running": "in training",
    "waiting": "interrupted",
    "failed": "failed",
}


def _best(ready: Plan, marks: Sequence[Mark]) -> str:
    best = max(marks, key=lambda mark: mark.rank)
    flags = "".join(
        f"<code>--{name}={escape(str(value))}</code> " for name, value in ready.space.shown(best.values).items()
    )
    return (
        f'<p class="best">Best {ready.objective.name} of the validation images: <b>{best.score:.4f}</b>, '
        f"trial {best.name}, epoch {_epoch_of(best)}<br>{flags}</p>"
        "<p>Colours go by rank, from blue, the worst trial, to orange, the best; the larger or thicker, the more epochs it was "
        "given. Point at a trial to see it everywhere.</p>"
    )


def _epoch_of(mark: Mark) -> int:
    return next(epoch for epoch, score in mark.scores.items() if score == mark.score)


def _rule(ready: Plan) -> str:
    if ready.config.tuner in BY_RUNGS:
        return (
            "A trial pauses at a rung; only a third of them goes on, so that most had few epochs to show what they can, "
            "and one that learns slowly may be among those that were left."
        )
    return ""


def _marks(ready: Plan, scored: Sequence[Record]) -> list[Mark]:
    metric, largest = ready.objective.metric, ready.objective.largest
    scores = [record.best(metric, largest) for record in scored]
    # Colours by rank, which one hopeless trial doesn't flatten.
    ranks = np.argsort(np.argsort([ready.objective.sign(score) for score in scores])) / max(len(scores) - 1, 1)
    found = []
    for record, score, rank in zip(scored, scores, ranks, strict=True):
        values = ", ".join(f"{name}={value}" for name, value in ready.space.shown(record.values).items())
        told = f"trial {record.name}, {max(record.epochs)} epochs: {score:.4f}\n{values}"
        by_epoch = {epoch: row[metric] for epoch, row in record.epochs.items() if metric in row}
        share = max(record.epochs) / max(max(one.epochs) for one in scored)
        found.append(Mark(record.name, record.values, by_epoch, score, float(rank), share, told))
    return found


def _importance(ready: Plan, scored: Sequence[Record], marks: Sequence[Mark]) -> tuple[str, str]:
    shares = importance(ready, scored, [ready.objective.sign(mark.score) for mark in marks])
    if not shares:
        return f"Fewer than {LEAST_TRIALS} trials have a score: too few to tell.", ""
    note = (
        f"Shares of what a random forest over these {len(marks)} trials explains: associations, not effects, and from few "
        "trials hardly more than a hint. What the number of epochs explains is left out."
    )
    return note, charts.bars(shares)


def _front(cost: str, scored: Sequence[Record], marks: Sequence[Mark], rows: Sequence[dict[str, Any]]) -> str:
    """The score against a cost; trials that none beats in everything stand out."""
    on_front = {row["trial"] for row in rows if row["pareto"]}
    costs = [next(iter(record.epochs.values()))[cost] for record in scored]
    low, span = min(costs), (max(costs) - min(costs)) or 1
    points = [
        ((value - low) / span, mark, charts.colour(mark.name in on_front))
        for value, mark in zip(costs, marks, strict=True)
    ]
    ticks = [(0.0, f"{low:,.4g}"), (1.0, f"{low + span:,.4g}")]
    return charts.scatter(points, cost, ticks, [mark.score for mark in marks], (700, 320))


def _table(rows: Sequence[dict[str, Any]], ready: Plan) -> str:
    """All trials, the best first, those without a score last."""
    if not rows:
        return "<p>No trial yet.</p>"
    metric, sign = ready.objective.name, ready.objective.sign
    ordered = sorted(rows, key=lambda row: (row[metric] is None, -sign(row[metric] or 0.0)))
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(
        f'<tr data-trial="{row["trial"]}">' + "".join(_cell(value) for value in row.values()) + "</tr>"
        for row in ordered
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"<td{' class=number' * number}>{escape('' if value is None else str(rounded(value)))}</td>"


def _section(title: str, note: str, content: str) -> str:
    note = f"<p>{escape(note)}</p>" if note else ""
    title = title.replace("_", " ")
    return f'<h2>{escape(title[0].upper() + title[1:])}</h2>{note}<div class="wide">{content}</div>'
