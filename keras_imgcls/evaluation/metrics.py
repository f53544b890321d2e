"""Metrics: what the predictions on some samples say about a model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from keras_imgcls.core.errors import UserError
from keras_imgcls.evaluation.intervals import effective_count, wilson


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class, fractions; NaN where there is nothing to divide by (no prediction, or no image)."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The predictions of a model on some samples; every number is computed from them.

    Attributes:
        class_names: the names of the k classes, in the order of the columns.
        ids: int64 of shape (n,), the ids of the samples in their manifest.
        labels: float32 of shape (n, k), one-hot; soft labels count as their largest class, and as they are in the loss.
        logits: float32 of shape (n, k).
        excluded: files of the dataset that can't be decoded and so are in none of the numbers.
        tta_logits: float32 of shape (n, k), means over views of each image, where test-time augmentation was asked for.
        groups: names of shape (n,), `""` for images that are alone: those of a group err together, and the intervals know.
    """

    class_names: tuple[str, ...]
    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    excluded: int = 0
    tta_logits: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def count(self) -> int:
        """The number n of samples."""
        return len(self.logits)

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """float64 of shape (n, k)."""
        shifted = self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    @cached_property
    def truth(self) -> np.ndarray:
        """The class index (int64) of each sample."""
        return self.labels.argmax(axis=1)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class index (int64) of each sample."""
        return self.logits.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each sample is predicted right, bool of shape (n,)."""
        return self.truth == self.predicted

    @property
    def accuracy(self) -> float:
        """The fraction predicted right."""
        return float(self.correct.mean())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy; with groups, of as many images as they are worth."""
        return self._interval(self.correct)

    def _interval(self, correct: np.ndarray) -> tuple[float, float]:
        if self.groups is None:
            return wilson(int(correct.sum()), self.count)
        worth = effective_count(correct, self.groups)
        return wilson(min(float(correct.mean()) * worth, worth), worth)

    @property
    def tta_correct(self) -> np.ndarray | None:
        """Whether each sample is predicted right with test-time augmentation, bool of shape (n,)."""
        return None if self.tta_logits is None else self.truth == self.tta_logits.argmax(axis=1)

    @property
    def top5_accuracy(self) -> float | None:
        """The fraction whose class is among the five most probable; None where there are five classes or fewer."""
        if len(self.class_names) <= 5:
            return None
        first_five = np.argsort(-self.logits, axis=1, kind="stable")[:, :5]  # ties go to the lower index, as in argmax
        return float((first_five == self.truth[:, None]).any(axis=1).mean())

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return float(-(self.labels * self.log_probabilities).sum(axis=1).mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (int64) of shape (k, k): row is the true class, column the predicted one."""
        return confusion_matrix(self.truth, self.predicted, labels=range(len(self.class_names)))

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """The scores of each class."""
        columns = precision_recall_fscore_support(
            self.truth, self.predicted, labels=range(len(self.class_names)), zero_division=np.nan
        )
        rows = zip(self.class_names, *(column.tolist() for column in columns), strict=True)
        return tuple(ClassScore(name, precision, recall, f1, support) for name, precision, recall, f1, support in rows)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have samples: what accuracy hides where classes differ in size."""
        return float(np.nanmean([score.recall for score in self.per_class]))

    def summary(self) -> dict[str, Any]:
        """What `metrics.json` of a run holds for a split; rates are fractions."""
        low, high = self.accuracy_interval
        found = {
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "loss": self.loss,
            "count": self.count,
        }
        if self.tta_correct is not None:
            low, high = self._interval(self.tta_correct)
            found |= {
                "tta_accuracy": float(self.tta_correct.mean()),
                "tta_accuracy_low": low,
                "tta_accuracy_high": high,
            }
        return found


def evaluate_predictions(
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: Iterable[str],
    ids: np.ndarray | None = None,
    excluded: int = 0,
    tta_logits: np.ndarray | None = None,
) -> Evaluation:
    """The evaluation of `logits` against `labels`, both float of shape (n, k); ids are row numbers unless given.

    Raises:
        UserError: there are no samples, or the model's outputs are not finite.
        ValueError: the shapes don't fit together.
    """
    class_names, logits, labels = tuple(class_names), np.asarray(logits), np.asarray(labels)
    ids = np.arange(len(logits)) if ids is None else np.asarray(ids)
    expected = (len(ids), len(class_names))
    if not logits.shape == labels.shape == expected:
        raise ValueError(f"Expected logits and labels of shape {expected}, received {logits.shape}, {labels.shape}.")
    if not len(logits):
        raise UserError("There are no images to evaluate.")
    if tta_logits is not None and tta_logits.shape != expected:
        raise ValueError(f"Expected logits over views of shape {expected}, received {tta_logits.shape}.")
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    if broken:
        raise UserError(f"The model's outputs are not finite numbers for {broken:,} of {len(logits):,} images.")
    return Evaluation(class_names, ids, labels, logits, excluded, tta_logits)


def evaluate(
    logits_of: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple],
    class_names: Iterable[str],
    excluded: int = 0,
    tta_logits_of: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Evaluation:
    """The evaluation of a model on batches, each sample counted once.

    Args:
        logits_of: images, uint8 of shape (b, height, width, channels), to logits of shape (b, k): `Predictor.logits`.
        batches: `(images, labels, ids)`, as `data.pipeline.batches` gives them.
        class_names: the names of the k classes.
        excluded: how many files of the dataset can't be decoded.
        tta_logits_of: images and ids to the means of the logits over several views; None: no test-time augmentation.

    Raises:
        UserError: there are no samples, or the model's outputs are not finite.
    """
    logits, labels, ids, tta_logits = [], [], [], []
    for batch_images, batch_labels, batch_ids in batches:
        logits.append(np.asarray(logits_of(np.asarray(batch_images))))
        labels.append(np.asarray(batch_labels))
        ids.append(np.asarray(batch_ids))
        if tta_logits_of:
            tta_logits.append(np.asarray(tta_logits_of(np.asarray(batch_images), ids[-1])))
    if not logits:
        raise UserError("There are no images to evaluate.")
    every_id = np.concatenate(ids)
    if len(np.unique(every_id)) != len(every_id):
        raise ValueError("A sample came twice: evaluation wants each sample once.")
    over_views = np.concatenate(tta_logits) if tta_logits else None
    return evaluate_predictions(
        np.concatenate(logits), np.concatenate(labels), class_names, every_id, excluded, over_views
    )
