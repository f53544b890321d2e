"""Parity: what an export answers in a fresh interpreter, held against the Keras model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_imgcls.evaluation.intervals import wilson
from keras_imgcls.evaluation.paired import drop_interval, is_below
from keras_imgcls.export.fresh import Answers
from keras_imgcls.export.reference import Reference


@dataclass(frozen=True)
class Limits:
    """What an export has to reach.

    Attributes:
        min_agreement: the least share of images on which the most probable class is the Keras model's.
        max_accuracy_drop: the largest loss of accuracy.
        max_difference: the largest difference of any probability.
        max_mean_difference: the largest mean, over the images, of the share of probability that went elsewhere.
    """

    min_agreement: float
    max_accuracy_drop: float
    max_difference: float = 1.0
    max_mean_difference: float = 0.1


@dataclass(frozen=True)
class Parity:
    """How an export compares with the Keras model.

    Attributes:
        artefact: the file or folder below `RUN/export`, and which of its inputs.
        images: how many were compared.
        agreement: the fraction on which the most probable class has the same name.
        largest_difference: the largest absolute difference of any probability.
        mean_difference: the mean, over the images, of the share of probability that went to other classes.
        accuracy: the fraction that the export has right.
        accuracy_low: the lower end of its 95 % interval.
        accuracy_high: the upper end.
        accuracy_drop: how much less that is than the accuracy of the Keras model.
        size: bytes on the disk.
        operations: how often its graph has which operation.
        latency: milliseconds for one image, `p50` and `p95`, by the number of threads.
        failures: why it is not good enough; empty where it is.
    """

    artefact: str
    images: int
    agreement: float
    largest_difference: float
    mean_difference: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_drop: float
    size: int
    operations: dict[str, int]
    latency: dict[str, dict[str, float]]
    failures: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """What `parity.json` holds; it has no failures, for then there is no export."""
        return {name: value for name, value in asdict(self).items() if name != "failures"}


def compare(name: str, path: Path, answers: Answers, expected: Reference, limits: Limits) -> Parity:
    """The parity of the export at `path`, called `name`, by what it answered."""
    names = np.array(expected.class_names)
    agrees = answers.chosen == names[expected.probabilities.argmax(axis=1)]
    right = answers.chosen == names[expected.truth]
    differences = np.abs(answers.probabilities - expected.probabilities)
    low, high = wilson(int(right.sum()), len(right))
    return Parity(
        ", ".join(filter(None, (name, answers.way))),
        len(agrees),
        float(agrees.mean()),
        float(differences.max()),
        float(differences.sum(axis=1).mean() / 2),
        float(right.mean()),
        low,
        high,
        float(expected.right.mean() - right.mean()),
        _size(path),
        answers.operations,
        {str(threads): _percentiles(times) for threads, times in answers.milliseconds.items()},
        (*answers.faults, *_failures(answers, agrees, right, differences, expected, limits)),
    )


def _failures(
    answers: Answers,
    agrees: np.ndarray,
    right: np.ndarray,
    differences: np.ndarray,
    expected: Reference,
    limits: Limits,
) -> list[str]:
    if not answers.judged:
        return []
    failures = []
    if answers.class_names != expected.class_names:
        failures.append("its labels are not those of the run, in their order")
    if is_below(int(agrees.sum()), len(agrees), limits.min_agreement):
        failures.append(
            f"it agrees with the Keras model on {agrees.mean():.2%} of the images, less than {limits.min_agreement:.2%}"
        )
    least_drop, _ = drop_interval(expected.right, right)
    if least_drop > limits.max_accuracy_drop:
        failures.append(
            f"its accuracy is {expected.right.mean() - right.mean():.2%} below the Keras model's, "
            f"more than {limits.max_accuracy_drop:.2%}"
        )
    largest, mean = differences.max(), differences.sum(axis=1).mean() / 2
    if not largest <= limits.max_difference:  # so that NaN fails too
        failures.append(f"a probability differs by {largest:.2g}, more than {limits.max_difference:g}")
    if not mean <= limits.max_mean_difference:
        failures.append(f"{mean:.2%} of probability went elsewhere, more than {limits.max_mean_difference:.2%}")
    return failures


def _percentiles(milliseconds: np.ndarray) -> dict[str, float]:
    return {name: round(float(np.percentile(milliseconds, at)), 3) for name, at in (("p50", 50), ("p95", 95))}


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
