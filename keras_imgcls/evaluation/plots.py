"""Plots: the confusion matrix and the course of a training, as figures that know no screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from keras_imgcls.core import files

NUMBERED = 50  # up to so many classes the cells are large enough for counts
NAMED = 150  # up to so many classes a name fits beside each row
LONGEST_NAME = 24
PANELS = {
    "loss": {"loss": "training", "val_loss": "validation"},
    "accuracy": {"accuracy": "training", "val_accuracy": "validation"},
    "learning rate": {"learning_rate": ""},
}


def confusion_figure(confusion: np.ndarray, class_names: Sequence[str]) -> Figure:
    """The confusion matrix of k classes: counts (k, k), rows the true class, columns the predicted one.

    A cell is coloured by its share of the row, so that small classes show as clearly as large ones, on a scale that is
    stretched near 0: an error of one in a hundred is seen.
    """
    classes = len(class_names)
    cell = min(0.62, max(0.13, 14 / classes) if classes <= NAMED else 10 / classes)  # inches
    margin = 0.085 * max(len(_short(name)) for name in class_names) + 0.8
    side = cell * classes + margin
    figure = Figure(figsize=(max(side + 1.0, 4.2), max(side, 3.6)), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, 0, 1))
    bar = figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.03, pad=0.02, aspect=40)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], labels=["0", "1 %", "5 %", "10 %", "25 %", "50 %", "100 %"])
    axes.set(xlabel="predicted", ylabel="true")
    _name_ticks(axes, class_names, fontsize=min(10, 66 * cell * 0.72))
    if classes <= NUMBERED:
        _write_counts(axes, confusion, shares, cell)
    return figure


def history_figure(rows: Sequence[Mapping[str, object]]) -> Figure:
    """Loss, accuracy and learning rate by epoch, from the rows of `history.csv` (values as text or numbers)."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    epochs = _column(rows, "epoch")
    for axes, (title, curves) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for column, label in curves.items():
            values = _column(rows, column)
            if np.isfinite(values).any():
                axes.plot(epochs, values, label=label, marker="o" if len(rows) < 30 else None, markersize=3)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if len(axes.lines) > 1:
            axes.legend()
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Writes `figure` as a PNG, whole or not at all."""
    with files.atomic(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight")


def _name_ticks(axes, class_names: Sequence[str], fontsize: float) -> None:
    if len(class_names) > NAMED:
        axes.set_title(f"{len(class_names):,} classes in the order of labels.txt")
        return
    places = range(len(class_names))
    names = [_short(name) for name in class_names]
    axes.set_xticks(places, names, rotation=90, fontsize=fontsize, parse_math=False)
    axes.set_yticks(places, names, fontsize=fontsize, parse_math=False)


def _write_counts(axes, confusion: np.ndarray, shares: np.ndarray, cell: float) -> None:
    digits = len(str(confusion.max()))
    size = min(10, 72 * cell / (0.75 * max(digits, 3)))
    for row, column in zip(*confusion.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.25 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=size, color=colour)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _column(rows: Sequence[Mapping[str, object]], name: str) -> np.ndarray:
    return np.array([float("nan" if row.get(name) in (None, "") else row[name]) for row in rows])
