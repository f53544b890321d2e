"""Predict: labels and probabilities for image files."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TextIO

from keras_imgcls import startup
from keras_imgcls.core.config import PredictConfig
from keras_imgcls.core.console import Progress
from keras_imgcls.core.run import open_run

USAGE = """Predict the labels of images.

  bin/predict --run_dir=RUN --source=cat.jpg
  bin/predict --run_dir=RUN --source=photos,'more/*.png' --topk=1 --format=csv > labels.csv

Standard output holds nothing but rows: path, rank, label, probability (a fraction), error. A file that can't be read is
one row with its error; the others are done all the same, and the exit code is 1. Names of files and labels are written
as they are: one that begins with '=' is a formula to a spreadsheet that opens the CSV."""
CONFIG = PredictConfig
HEADER = ("path", "rank", "label", "probability", "error")

Row = tuple[str, int | None, str | None, float | None, str | None]


def run(config: PredictConfig) -> int:
    """Prints one row per image and rank; 1 where a file could not be read."""
    open_run(config.run_dir)
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.inference import predictor, sources

    paths = sources.find_images(config.source)
    model = predictor.load_run(config.run_dir)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name need not be UTF-8: its bytes pass through as they are
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    topk = min(config.topk, len(model.class_names))
    unread = 0

    def rows() -> Iterable[Row]:
        nonlocal unread
        progress = None if sys.stdout.isatty() else Progress(len(paths), "predict", sys.stderr)
        for done, prediction in enumerate(sources.predictions(model, paths, config.batch_size), start=1):
            unread += prediction.probabilities is None
            yield from rows_of(prediction, model.class_names, topk)
            if progress:
                progress.update(done)
        if progress:
            progress.clear()

    WRITERS[config.format](sys.stdout, rows(), paths, model.class_names)
    sys.stdout.flush()
    if unread:
        print(f"{unread:,} of {len(paths):,} images can't be read: see the error column.", file=sys.stderr, flush=True)
    return 1 if unread else 0


def rows_of(prediction, class_names: Sequence[str], topk: int) -> list[Row]:
    """The rows of one file: its `topk` labels, the most probable first, or the one with its error."""
    if prediction.probabilities is None:
        return [(prediction.path, None, None, None, prediction.error)]
    order = (-prediction.probabilities).argsort(kind="stable")[:topk]
    return [
        (prediction.path, rank, class_names[index], round(float(prediction.probabilities[index]), 6), None)
        for rank, index in enumerate(order, start=1)
    ]


def write_csv(out: TextIO, rows: Iterable[Row], *_) -> None:
    """Rows as CSV with a header; what holds a comma, a quote or a line break is quoted."""
    writer = csv.writer(out, lineterminator="\n")
    for row in chain([HEADER], rows):
        writer.writerow(row)


def write_json(out: TextIO, rows: Iterable[Row], *_) -> None:
    """One JSON object a line, null where there is nothing to say; what is not ASCII is escaped."""
    for row in rows:
        print(json.dumps(dict(zip(HEADER, row, strict=True))), file=out)


def write_table(out: TextIO, rows: Iterable[Row], paths: Sequence[str], class_names: Sequence[str]) -> None:
    """Aligned columns, written as rows come; control characters are shown as escapes."""
    path_width = max(len(_visible(path)) for path in (*paths, HEADER[0]))
    label_width = max(len(_visible(name)) for name in (*class_names, HEADER[2]))

    def line(path: str, rank: object, label: str, probability: str, error: str) -> str:
        return f"{path:<{path_width}}  {rank:>4}  {label:<{label_width}}  {probability:>11}  {error}".rstrip()

    print(line(*HEADER), file=out)
    for path, rank, label, probability, error in rows:
        share = "" if probability is None else f"{probability:.4f}"
        print(line(_visible(path), rank or "", _visible(label or ""), share, _visible(error or "")), file=out)


WRITERS: dict[str, Callable] = {"table": write_table, "csv": write_csv, "json": write_json}


def _visible(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )
