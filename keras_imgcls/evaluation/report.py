"""Report: an evaluation as files that people, spreadsheets and scripts read."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_imgcls.augment.test_time import Views
from keras_imgcls.core import files
from keras_imgcls.core.console import table
from keras_imgcls.data.samples import Samples
from keras_imgcls.evaluation import plots
from keras_imgcls.evaluation.metrics import ClassScore, Evaluation, evaluate
from keras_imgcls.inference import serving

LISTED = 50  # up to so many classes are all printed


def evaluate_split(
    model: keras.Model,
    batches: Iterable[tuple],
    samples: Samples,
    split: str,
    folder: Path,
    views: Views | None = None,
) -> Evaluation:
    """The evaluation of `model` on some of `samples`, written to `folder`.

    Args:
        model: pixels 0-255 to logits, with classes in the order of the manifest's.
        batches: `(images, labels, ids)`, each sample once; the ids are rows of the manifest.
        samples: the dataset.
        split: what the batches are, for the report.
        folder: `RUN/evaluation/NAME`.
        views: of test-time augmentation, whose accuracy is told beside the plain one; None: not asked for.

    Raises:
        UserError: there are no images, the model's outputs are not finite, or a file can't be written.
    """
    answer = serving.freeze(model)

    def logits(images: np.ndarray) -> np.ndarray:
        return answer(images)[0].numpy()

    over_views = None if views is None else _mean_over(views, logits)
    evaluation = evaluate(logits, batches, samples.manifest.class_names, len(samples.excluded), over_views)
    if samples.manifest.groups is not None:
        evaluation = replace(evaluation, groups=samples.manifest.groups[evaluation.ids])
    write(folder, evaluation, samples.manifest.sources[evaluation.ids], {"dataset": samples.name, "split": split})
    return evaluation


def _mean_over(views: Views, logits: Callable) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def mean(images: np.ndarray, ids: np.ndarray) -> np.ndarray:
        return sum(weight * logits(seen) for weight, seen in zip(views.weights, views.of(images, ids), strict=True))

    return mean


def write(
    folder: Path,
    evaluation: Evaluation,
    sources: Sequence[str],
    about: dict[str, Any],
    columns: Mapping[str, Sequence] | None = None,
) -> None:
    """Writes the report; `sources` say where each sample comes from, `about` goes into `metrics.json` as it is.

    `columns` are added to `predictions.csv`, by name.

    - `metrics.json`: accuracy with its interval, loss, count; balanced and top-5 accuracy (fractions); how many files
      of the dataset can't be decoded.
    - `predictions.csv`: one row per image.
    - `classes.csv`: precision, recall, F1 and support; empty cells where there is nothing to divide by.
    - `confusion_matrix.csv` and `.png`: a row for each true class, a column for each predicted one.
    """
    files.write_text(folder / "predictions.csv", predictions_csv(evaluation, sources, columns))
    files.write_text(folder / "classes.csv", classes_csv(evaluation.per_class))
    files.write_text(folder / "confusion_matrix.csv", confusion_csv(evaluation))
    plots.save(plots.confusion_figure(evaluation.confusion, evaluation.class_names), folder / "confusion_matrix.png")
    more = {
        "balanced_accuracy": evaluation.balanced_accuracy,
        "top5_accuracy": evaluation.top5_accuracy,
        "excluded": evaluation.excluded,
    }
    files.write_json(folder / "metrics.json", {**about, **evaluation.summary(), **more})


def predictions_csv(evaluation: Evaluation, sources: Sequence[str], more: Mapping[str, Sequence] | None = None) -> str:
    """One row per image: what it is, what was predicted and how sure the model was of either."""
    names = np.array(evaluation.class_names)
    probabilities, rows = np.exp(evaluation.log_probabilities), np.arange(evaluation.count)
    columns = {
        "id": evaluation.ids,
        "source": sources,
        "label": names[evaluation.truth],
        "predicted": names[evaluation.predicted],
        "correct": np.where(evaluation.correct, "true", "false"),
        "probability": map(_fraction, probabilities[rows, evaluation.predicted]),
        "label_probability": map(_fraction, probabilities[rows, evaluation.truth]),
        **(more or {}),
    }
    return _csv(tuple(columns), zip(*columns.values(), strict=True))


def classes_csv(scores: Iterable[ClassScore]) -> str:
    """One row per class."""
    rows = ((s.name, _fraction(s.precision), _fraction(s.recall), _fraction(s.f1), s.support) for s in scores)
    return _csv(("class", "precision", "recall", "f1", "support"), rows)


def confusion_csv(evaluation: Evaluation) -> str:
    """The counts, with the names of the classes as first row (predicted) and first column (true)."""
    rows = zip(evaluation.class_names, evaluation.confusion.tolist(), strict=True)
    return _csv(("true \\ predicted", *evaluation.class_names), ([name, *counts] for name, counts in rows))


def text(evaluation: Evaluation) -> str:
    """The evaluation as tables for a terminal; of many classes, those with the lowest recall."""
    low, high = evaluation.accuracy_interval
    rows = [
        ("accuracy", f"{evaluation.accuracy:.2%}", f"95 % interval {low:.2%} to {high:.2%}"),
        ("balanced accuracy", f"{evaluation.balanced_accuracy:.2%}", "mean recall of the classes"),
        ("loss", f"{evaluation.loss:.4f}", "cross-entropy, nats"),
        ("images", f"{evaluation.count:,}", f"{evaluation.excluded:,} excluded" if evaluation.excluded else ""),
    ]
    if evaluation.tta_correct is not None:
        found = evaluation.summary()
        interval = f"95 % interval {found['tta_accuracy_low']:.2%} to {found['tta_accuracy_high']:.2%}"
        rows.insert(1, ("with test-time augmentation", f"{found['tta_accuracy']:.2%}", interval))
    if evaluation.top5_accuracy is not None:
        rows.insert(1, ("top-5 accuracy", f"{evaluation.top5_accuracy:.2%}", ""))
    scores = list(evaluation.per_class)
    title = ""
    if len(scores) > LISTED:
        title = f"The {LISTED} of {len(scores):,} classes with the lowest recall:\n"
        scores = sorted(scores, key=lambda score: math.inf if math.isnan(score.recall) else score.recall)[:LISTED]
    classes = [(s.name, _percent(s.precision), _percent(s.recall), _percent(s.f1), f"{s.support:,}") for s in scores]
    return f"{table(rows)}\n\n{title}{table(classes, ('class', 'precision', 'recall', 'F1', 'images'))}"


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _fraction(rate: float) -> str:
    return "" if math.isnan(rate) else f"{rate:.6f}"


def _percent(rate: float) -> str:
    return "–" if math.isnan(rate) else f"{rate:.1%}"
