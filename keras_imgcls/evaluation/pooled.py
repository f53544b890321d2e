"""Pooled: the evaluations of several models, each on samples of its own, as one evaluation of all the samples."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_imgcls.core import files
from keras_imgcls.evaluation.metrics import Evaluation, evaluate_predictions

FILE = "logits.npz"
OPTIONAL = ("tta_logits", "groups")


def keep(folder: Path, evaluation: Evaluation, sources: np.ndarray) -> None:
    """Writes what `read` needs beside the report in `folder`: logits, labels and sources."""
    more = {name: getattr(evaluation, name) for name in OPTIONAL if getattr(evaluation, name) is not None}
    with files.atomic(folder / FILE) as temporary:
        np.savez(temporary, logits=evaluation.logits, labels=evaluation.labels, sources=sources.astype(str), **more)


def read(folder: Path, class_names: Sequence[str]) -> tuple[Evaluation, np.ndarray]:
    """The evaluation that `keep` wrote to `folder`, and the sources of its samples."""
    with np.load(folder / FILE) as stored:
        more = {name: stored[name] for name in OPTIONAL if name in stored}
        evaluation = evaluate_predictions(stored["logits"], stored["labels"], class_names)
        return replace(evaluation, **more), stored["sources"]


def pool(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of all samples: each counts once, whichever model predicted it. The ids are rows of the pool."""

    def all_of(name: str) -> np.ndarray | None:
        parts = [getattr(evaluation, name) for evaluation in evaluations]
        return None if parts[0] is None else np.concatenate(parts)

    whole = evaluate_predictions(all_of("logits"), all_of("labels"), evaluations[0].class_names)
    return replace(whole, **{name: all_of(name) for name in OPTIONAL})
