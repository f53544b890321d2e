"""Pooled: the evaluations of several models, each on samples of its own, as one evaluation of all the samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_imgcls.core import files
from keras_imgcls.evaluation.metrics import Evaluation, evaluate_predictions

FILE = "logits.npz"


def keep(folder: Path, evaluation: Evaluation, sources: np.ndarray) -> None:
    """Writes what `read` needs beside the report in `folder`: logits, labels and sources."""
    views = {} if evaluation.tta_logits is None else {"tta_logits": evaluation.tta_logits}
    with files.atomic(folder / FILE) as temporary:
        np.savez(temporary, logits=evaluation.logits, labels=evaluation.labels, sources=sources.astype(str), **views)


def read(folder: Path, class_names: Sequence[str]) -> tuple[Evaluation, np.ndarray]:
    """The evaluation that `keep` wrote to `folder`, and the sources of its samples."""
    with np.load(folder / FILE) as stored:
        views = stored.get("tta_logits")
        evaluation = evaluate_predictions(stored["logits"], stored["labels"], class_names, tta_logits=views)
        return evaluation, stored["sources"]


def pool(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of all samples: each counts once, whichever model predicted it. The ids are rows of the pool."""
    views = [evaluation.tta_logits for evaluation in evaluations]
    return evaluate_predictions(
        np.concatenate([evaluation.logits for evaluation in evaluations]),
        np.concatenate([evaluation.labels for evaluation in evaluations]),
        evaluations[0].class_names,
        tta_logits=None if views[0] is None else np.concatenate(views),
    )
