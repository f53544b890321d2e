"""Rows: what is printed of predictions, as a table, CSV or JSON lines."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TextIO

from keras_imgcls.core.console import visible
from keras_imgcls.core.errors import UserError
from keras_imgcls.inference.stream import Prediction

HEADER = ("path", "rank", "label", "probability", "error")  # and, where there may be frames, "time"
UNSURE = "unsure"

Row = tuple[str, int | None, str | None, float | None, str | None, float | None]


def require_unambiguous(class_names: Sequence[str], least: float) -> None:
    """Raises UserError where a class is called `unsure` and answers below the probability `least` would be too."""
    if least > 0 and UNSURE in class_names:
        raise UserError(
            f"A class is called '{UNSURE}', as answers below --min_confidence are: give --min_confidence=0."
        )


def rows_of(prediction: Prediction, class_names: Sequence[str], topk: int, least: float = 0.0) -> list[Row]:
    """The rows of one picture: its `topk` labels, the most probable first; the one with its error; the one `unsure`."""
    path, probabilities, time = prediction.path, prediction.probabilities, prediction.time
    seconds = None if time is None else round(time, 3)
    if probabilities is None:
        return [(path, None, None, None, prediction.error, seconds)]
    if probabilities.max() < least:
        return [(path, 1, UNSURE, round(float(probabilities.max()), 6), None, seconds)]
    order = (-probabilities).argsort(kind="stable")[:topk]
    return [
        (path, rank, class_names[index], round(float(probabilities[index]), 6), None, seconds)
        for rank, index in enumerate(order, start=1)
    ]


def write_csv(out: TextIO, rows: Iterable[Row], paths: object, class_names: object, has_time: bool) -> None:
    """Rows as CSV with a header; what holds a comma, a quote or a line break is quoted."""
    header = _header(has_time)
    for row in chain([header], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(row[: len(header)])  # with "\n" a "\r" isn't quoted
        out.write(line.getvalue().removesuffix("\r\n") + "\n")


def write_json(out: TextIO, rows: Iterable[Row], paths: object, class_names: object, has_time: bool) -> None:
    """One JSON object a line, null where there is nothing to say; what is not ASCII is escaped."""
    for row in rows:
        print(json.dumps(dict(zip(_header(has_time), row, strict=False))), file=out)


def write_table(
    out: TextIO, rows: Iterable[Row], paths: Sequence[str], class_names: Sequence[str], has_time: bool
) -> None:
    """Aligned columns, written as rows come; control characters are shown as escapes."""
    path_width = max(len(visible(path)) for path in (*paths, HEADER[0]))
    label_width = max(len(visible(name)) for name in (*class_names, UNSURE))

    def line(path: str, rank: object, label: str, probability: str, error: str, time: str) -> str:
        moment = f"{time:>9}  " if has_time else ""
        cells = f"{path:<{path_width}}  {moment}{rank:>4}  {label:<{label_width}}  {probability:>11}  {error}"
        return cells.rstrip()

    print(line(*HEADER, "time"), file=out)
    for path, rank, label, probability, error, time in rows:
        share, moment = (
            "" if value is None else form % value for value, form in ((probability, "%.4f"), (time, "%.3f"))
        )
        print(line(visible(path), rank or "", visible(label or ""), share, visible(error or ""), moment), file=out)


WRITERS: dict[str, Callable] = {"table": write_table, "csv": write_csv, "json": write_json}


def _header(has_time: bool) -> tuple[str, ...]:
    return (*HEADER, "time") if has_time else HEADER
