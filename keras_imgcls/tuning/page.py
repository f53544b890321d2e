"""`search.html`: one file that needs no network: parallel coordinates, importance, slices, the Pareto front, the table."""

import html
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from keras_imgcls.tuning.importance import LEAST_TRIALS, importance, place
from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.plan import Plan
from keras_imgcls.tuning.space import Parameter, rounded

WIDTH, HEIGHT, MARGIN = 900, 300, 60
SMALL = (280, 180)
LOW, HIGH = np.array([68, 110, 180]), np.array([232, 120, 30])  # colours of the worst and of the best score


def render(ready: Plan, records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> str:
    """The page, as HTML."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    scores = [record.best(ready.objective.metric, ready.objective.largest) for record in scored]
    signed = [ready.objective.sign(score) for score in scores]
    colours = [_colour(rank) for rank in _ranks(signed)]
    failed = sum(record.status == "failed" for record in records)
    parts = [f"<h1>Search by {ready.config.tuner}: {len(records)} trials, {failed} failed</h1>"]
    if scored:
        best = scored[int(np.argmax(signed))]
        values = ", ".join(f"{name}={value}" for name, value in ready.space.shown(best.values).items())
        parts.append(
            f"<p>Best {ready.objective.name}: <b>{scores[scored.index(best)]:.4f}</b>, trial {best.name}: {_escape(values)}</p>"
        )
        parts.append(
            "<p>From blue, the worst, to orange, the best. Trials that paused early had fewer epochs to show what they can.</p>"
        )
        parts += ["<h2>All trials</h2>", _parallel(ready, scored, scores, colours)]
        parts += ["<h2>Importance</h2>", _importance(ready, scored, signed)]
        parts += ["<h2>Each flag</h2>", *(_slice(p, ready, scored, scores, colours) for p in ready.space.parameters)]
        for cost in ready.objective.costs:
            parts += [
                f"<h2>{_escape(ready.objective.name)} against {cost}</h2>",
                _front(cost, ready, scored, scores, rows),
            ]
    parts += ["<h2>Table</h2>", _table(rows)]
    frame = resources.files("keras_imgcls.tuning").joinpath("page.html").read_text(encoding="utf-8")
    return frame.replace("<!-- content -->", "\n".join(parts))


def _parallel(ready: Plan, records: Sequence[Record], scores: Sequence[float], colours: Sequence[str]) -> str:
    """A vertical axis for each parameter and one for the score, a line a trial."""
    axes = [*ready.space.parameters, None]
    xs = np.linspace(MARGIN, WIDTH - MARGIN, len(axes))
    low, high = min(scores), max(scores)
    lines = []
    for record, score, colour in sorted(
        zip(records, scores, colours, strict=True), key=lambda one: ready.objective.sign(one[1])
    ):
        places = [place(p, record.values.get(p.key)) for p in ready.space.parameters]
        places.append((score - low) / ((high - low) or 1))
        points = " ".join(f"{x:.1f},{_y(at):.1f}" for x, at in zip(xs, places, strict=True))
        lines.append(f'<polyline points="{points}" stroke="{colour}" {_title(record, score, ready)}</polyline>')
    drawn = [_axis(x, p, (low, high), ready.objective.name) for x, p in zip(xs, axes, strict=True)]
    return _svg(WIDTH, HEIGHT + 2 * MARGIN, [*lines, *drawn])


def _axis(x: float, parameter: Parameter | None, scores: tuple[float, float], metric: str) -> str:
    name = parameter.key if parameter else metric
    if parameter and parameter.kind == "choice":
        ticks = [(place(parameter, value), str(value)) for value in parameter.values]
    else:
        ends = (parameter.low, parameter.high) if parameter else scores
        ticks = [(0, f"{ends[0]:.4g}"), (1, f"{ends[1]:.4g}")]
    text = "".join(
        f'<text x="{x + 4:.1f}" y="{_y(at) + 4:.1f}" class="tick">{_escape(_short(label))}</text>'
        for at, label in ticks
    )
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(0):.1f}" y2="{_y(1):.1f}" class="axis"/>'
    return f'{line}{text}<text x="{x:.1f}" y="{MARGIN / 2}" class="name">{_escape(_short(name))}</text>'


def _importance(ready: Plan, records: Sequence[Record], signed: Sequence[float]) -> str:
    shares = importance(ready, records, signed)
    if not shares:
        return f"<p>Fewer than {LEAST_TRIALS} trials have a score: too few to tell.</p>"
    bars = []
    for index, (key, share) in enumerate(sorted(shares.items(), key=lambda item: -item[1])):
        y = 10 + 26 * index
        bars.append(f'<text x="0" y="{y + 14}" class="tick">{_escape(key)}</text>')
        bars.append(f'<rect x="260" y="{y}" width="{500 * share:.1f}" height="18" fill="{_colour(1)}"/>')
        bars.append(f'<text x="{268 + 500 * share:.1f}" y="{y + 14}" class="tick">{share:.0%}</text>')
    note = "<p>Shares of what a random forest over these trials explains; associations, not effects.</p>"
    return note + _svg(WIDTH, 20 + 26 * len(shares), bars)


def _slice(
    parameter: Parameter, ready: Plan, records: Sequence[Record], scores: Sequence[float], colours: Sequence[str]
) -> str:
    """The score against one parameter."""
    points = [
        (place(parameter, record.values[parameter.key]), score, colour, record)
        for record, score, colour in zip(records, scores, colours, strict=True)
        if parameter.key in record.values
    ]
    ends = [str(v) for v in parameter.values] or [f"{parameter.low:g}", f"{parameter.high:g}"]
    return _scatter(points, parameter.key, (ends[0], ends[-1]), scores, ready)


def _front(
    cost: str, ready: Plan, records: Sequence[Record], scores: Sequence[float], rows: Sequence[dict[str, Any]]
) -> str:
    """The score against a cost; trials that none beats in everything stand out."""
    on_front = {row["trial"] for row in rows if row["pareto"]}
    costs = [next(iter(record.epochs.values()))[cost] for record in records]
    low, span = min(costs), (max(costs) - min(costs)) or 1
    points = [
        ((value - low) / span, score, _colour(record.name in on_front), record)
        for value, score, record in zip(costs, scores, records, strict=True)
    ]
    return _scatter(points, cost, (f"{low:,.4g}", f"{low + span:,.4g}"), scores, ready, (WIDTH - 200, 320))


def _scatter(
    points: list[tuple], name: str, ends: tuple[str, str], scores: Sequence[float], ready: Plan, size=SMALL
) -> str:
    width, height = size
    low, span = min(scores), (max(scores) - min(scores)) or 1
    drawn = [f'<rect x="50" y="20" width="{width - 70}" height="{height - 60}" class="frame"/>']
    for at, score, colour, record in points:
        x, y = 55 + (width - 80) * at, height - 45 - (height - 70) * (score - low) / span
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" {_title(record, score, ready)}</circle>')
    label = f'<text x="{width / 2}" y="{height - 4}" class="name">{_escape(_short(name, 40))}</text>'
    ticks = (
        f'<text x="50" y="{height - 24}" class="tick">{_escape(_short(ends[0]))}</text>'
        f'<text x="{width - 20}" y="{height - 24}" class="tick" text-anchor="end">{_escape(_short(ends[1]))}</text>'
        f'<text x="46" y="{height - 42}" class="tick" text-anchor="end">{low:.3g}</text>'
        f'<text x="46" y="30" class="tick" text-anchor="end">{low + span:.3g}</text>'
    )
    return _svg(width, height, [*drawn, label, ticks])


def _table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "<p>No trial yet.</p>"
    head = "".join(f"<th>{_escape(name)}</th>" for name in rows[0])
    body = "".join(
        f'<tr data-trial="{row["trial"]}">'
        + "".join(f"<td>{_escape(_cell(value))}</td>" for value in row.values())
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return "" if value is None else str(rounded(value))


def _title(record: Record, score: float, ready: Plan) -> str:
    """The end of an opening tag: whose mark it is, and what is told of it under the pointer."""
    values = ", ".join(f"{name}={value}" for name, value in ready.space.shown(record.values).items())
    told = f"trial {record.name}, {max(record.epochs)} epochs: {score:.4f}\n{values}"
    return f'class="trial" data-trial="{record.name}"><title>{_escape(told)}</title>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">{"".join(parts)}</svg>'


def _y(at: float) -> float:
    return MARGIN + HEIGHT * (1 - at)


def _ranks(signed: Sequence[float]) -> np.ndarray:
    """0 for the worst to 1 for the best: colours by rank, which one hopeless trial doesn't flatten."""
    return np.argsort(np.argsort(signed)) / max(len(signed) - 1, 1)


def _colour(share: float) -> str:
    return "#{:02x}{:02x}{:02x}".format(*np.round(LOW + (HIGH - LOW) * float(share)).astype(int))


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _escape(text: str) -> str:
    return html.escape(text)
