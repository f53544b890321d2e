"""Charts of a search as SVG, which needs neither a script nor a library: parallel coordinates, curves, slices, bars."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_imgcls.tuning.importance import place
from keras_imgcls.tuning.space import Parameter

WIDTH, HEIGHT, MARGIN = 960, 260, 60
SMALL = (300, 200)
LOW, HIGH = np.array([68, 110, 180]), np.array([232, 120, 30])  # colours of the worst and of the best score
SPREAD = 0.05  # to both sides of a choice, so that trials with the same value don't hide each other


@dataclass(frozen=True)
class Mark:
    """A trial in a chart.

    Attributes:
        name: of the trial.
        values: by key of the parameter.
        scores: by epoch, counted from 1.
        score: the best of them.
        rank: 0 for the worst trial to 1 for the best.
        share: of the epochs that a trial can have.
        told: what stands under the pointer.
    """

    name: str
    values: dict[str, Any]
    scores: dict[int, float]
    score: float
    rank: float
    share: float
    told: str

    def opening(self) -> str:
        """The end of an opening tag, and what is told."""
        return f'class="trial" data-trial="{self.name}"><title>{escape(self.told)}</title>'

    def at(self, parameter: Parameter) -> float:
        """Where it stands on an axis, 0 to 1; beside the place of a choice, by its name."""
        found = place(parameter, self.values.get(parameter.key))
        if parameter.kind != "choice" or parameter.key not in self.values:
            return found
        return found + SPREAD * (2 * (int(self.name) * 0.618034 % 1) - 1)  # evenly, without chance


def parallel(marks: Sequence[Mark], parameters: Sequence[Parameter], metric: str) -> str:
    """A vertical axis for each parameter and one for the score, a line a trial, the best on top."""
    xs = np.linspace(MARGIN / 2, WIDTH - 1.7 * MARGIN, len(parameters) + 1)
    scores = [mark.score for mark in marks]
    lines = []
    for mark in sorted(marks, key=lambda one: one.rank):
        places = [*(mark.at(parameter) for parameter in parameters), _between(mark.score, scores)]
        points = " ".join(f"{x:.1f},{_y(at):.1f}" for x, at in zip(xs, places, strict=True))
        width = 0.8 + 2 * mark.share
        lines.append(
            f'<polyline points="{points}" stroke="{colour(mark.rank)}" style="stroke-width:{width:.1f}" {mark.opening()}'
            "</polyline>"
        )
    drawn = [_axis(x, parameter.key, _ticks(parameter)) for x, parameter in zip(xs, parameters, strict=False)]
    ends = [(0.0, f"{min(scores):.4g}"), (1.0, f"{max(scores):.4g}")]
    return svg(WIDTH, HEIGHT + 1.8 * MARGIN, [*lines, *drawn, _axis(xs[-1], metric, ends)])


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    if parameter.kind == "choice":
        return [(place(parameter, value), str(value)) for value in parameter.values]
    return [(0.0, f"{parameter.low:.4g}"), (1.0, f"{parameter.high:.4g}")]


def _axis(x: float, name: str, ticks: Sequence[tuple[float, str]]) -> str:
    text = "".join(
        f'<text x="{x + 5:.1f}" y="{_y(at) + 4:.1f}" class="tick">{escape(short(label, 16))}</text>'
        for at, label in ticks
    )
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(0):.1f}" y2="{_y(1):.1f}" class="axis"/>'
    return f'{line}{text}<text x="{x - 6:.1f}" y="{MARGIN / 2}" class="name">{escape(short(name, 16))}</text>'


def curves(marks: Sequence[Mark], metric: str, epochs: int) -> str:
    """The score by epoch, a line a trial, with a dot where it ends."""
    scores = [score for mark in marks for score in mark.scores.values()]
    width, height, left, bottom = WIDTH, 300, 60, 260
    drawn = [f'<rect x="{left}" y="15" width="{width - left - 20}" height="{bottom - 15}" class="frame"/>']

    def point(epoch: int, score: float) -> tuple[float, float]:
        x = left + 12 + (width - left - 44) * (epoch - 1) / max(epochs - 1, 1)
        return x, bottom - 8 - (bottom - 31) * _between(score, scores)

    for mark in sorted(marks, key=lambda one: one.rank):
        points = [point(*one) for one in sorted(mark.scores.items())]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1]
        paint = colour(mark.rank)
        drawn.append(f'<polyline points="{line}" stroke="{paint}" {mark.opening()}</polyline>')
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{paint}" {mark.opening()}</circle>')
    drawn += [
        f'<text x="{point(epoch, 0)[0]:.1f}" y="{bottom + 16}" class="tick middle">{epoch}</text>'
        for epoch in sorted({1, *np.linspace(1, epochs, min(epochs, 12)).round().astype(int).tolist()})
    ]
    drawn.append(f'<text x="{width / 2}" y="{height - 4}" class="name middle">epoch</text>')
    return svg(width, height, [*drawn, *_heights(scores, left - 6, bottom - 4, 27)])


def slice_of(parameter: Parameter, marks: Sequence[Mark]) -> str:
    """The score against one parameter."""
    active = [mark for mark in marks if parameter.key in mark.values]
    points = [(mark.at(parameter), mark, colour(mark.rank)) for mark in active]
    return scatter(points, parameter.key, _ticks(parameter), [mark.score for mark in marks], SMALL)


def scatter(
    points: Sequence[tuple[float, Mark, str]],
    name: str,
    ticks: Sequence[tuple[float, str]],
    scores: Sequence[float],
    size: tuple[int, int],
) -> str:
    """Dots at `(place, trial, colour)`, the larger the more epochs the trial had; `scores` span the height."""
    (width, height), left = size, 54
    bottom, span, inset = height - 44, width - left - 10, 0.08 * (width - left)
    drawn = [f'<rect x="{left}" y="12" width="{span}" height="{bottom - 12}" class="frame"/>']
    for at, mark, paint in sorted(points, key=lambda one: one[1].rank):
        x, y = left + inset + (span - 2 * inset) * at, bottom - 8 - (bottom - 28) * _between(mark.score, scores)
        radius = 2.5 + 3 * mark.share
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{paint}" {mark.opening()}</circle>')
    most = max(int(span / 6.5 / len(ticks)), 4)  # letters
    for at, label in ticks:  # the outer ones end with the frame
        x, anchor = {0: (left, ""), 1: (left + span, "end")}.get(at, (left + inset + (span - 2 * inset) * at, "middle"))
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 15}" class="tick {anchor}">{escape(short(label, most))}</text>')
    drawn.append(f'<text x="{left + span / 2}" y="{height - 6}" class="name middle">{escape(short(name, 40))}</text>')
    return svg(width, height, [*drawn, *_heights(scores, left - 5, bottom - 4, 24)])


def _heights(scores: Sequence[float], x: float, low: float, high: float) -> list[str]:
    return [
        f'<text x="{x}" y="{y}" class="tick end">{value:.3g}</text>'
        for y, value in ((low, min(scores)), (high, max(scores)))
    ]


def bars(shares: dict[str, float]) -> str:
    """A bar a name, the longest first."""
    drawn = []
    for index, (name, share) in enumerate(sorted(shares.items(), key=lambda item: -item[1])):
        y = 4 + 26 * index
        drawn.append(f'<text x="0" y="{y + 14}" class="tick">{escape(short(name, 36))}</text>')
        drawn.append(f'<rect x="230" y="{y}" width="{320 * share:.1f}" height="18" fill="{colour(1)}"/>')
        drawn.append(f'<text x="{238 + 320 * share:.1f}" y="{y + 14}" class="tick">{share:.0%}</text>')
    return svg(600, 8 + 26 * len(shares), drawn)


def svg(width: float, height: float, parts: Sequence[str]) -> str:
    """A picture that keeps its size: where the window is narrower, its section scrolls."""
    return f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">{"".join(parts)}</svg>'


def colour(share: float) -> str:
    """From blue (0) to orange (1)."""
    return "#{:02x}{:02x}{:02x}".format(*np.round(LOW + (HIGH - LOW) * float(share)).astype(int))


def _between(value: float, values: Sequence[float]) -> float:
    low, high = min(values), max(values)
    return (value - low) / ((high - low) or 1)


def _y(at: float) -> float:
    return 0.9 * MARGIN + HEIGHT * (1 - at)


def short(text: str, most: int) -> str:
    """`text`, cut where it has more than `most` letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def escape(text: str) -> str:
    """`text` between tags."""
    return html.escape(text)
