"""Intervals: how far a rate measured on some images may lie from the true one."""

from math import sqrt
from statistics import NormalDist

import numpy as np


def wilson(successes: float, count: float, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval `(low, high)` of a proportion, within [0, 1].

    It keeps its level for small counts and rates near 0 or 1, where `p ± z·sqrt(p(1-p)/n)` doesn't (Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22, 1927). It takes the images for independent
    draws: for frames of the same video it is too narrow, see `effective_count`.

    Raises:
        ValueError: no images, more successes than images, or a confidence outside (0, 1).
    """
    if count < 1 or not 0 <= successes <= count:
        raise ValueError(f"Expected between 0 and count successes of at least 1, received {successes} of {count}.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected a confidence between 0 and 1, received {confidence}.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / count
    centre = rate + z * z / (2 * count)
    reach = z * sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    low, high = ((centre + side * reach) / (1 + z * z / count) for side in (-1, 1))
    return (0.0 if successes == 0 else low), (1.0 if successes == count else high)


def effective_count(correct: np.ndarray, groups: np.ndarray) -> float:
    """How many independent images would tell as much of a rate as these, whose errors go together within groups.

    The count is divided by the design effect: the variance of the rate over groups (ratio estimator), in units of that of
    independent images, 1 at least. Where all are right, or none, the data can't tell it, and each group counts once.
    (Kish, "Survey Sampling", 1965; with `wilson` for proportions: Dean and Pagano, J. Surv. Stat. Methodol. 3, 2015.)

    Args:
        correct: bool of shape (n,).
        groups: the name of each image's group, `""` where it is alone.
    """
    count, rate = len(correct), float(correct.mean())
    alone = groups == ""
    _, group_of_row = np.unique(groups[~alone], return_inverse=True)
    sizes = np.concatenate([np.bincount(group_of_row), np.ones(alone.sum(), np.int64)])
    right = np.concatenate([np.bincount(group_of_row, correct[~alone]), correct[alone]])
    if rate in (0, 1) or len(sizes) == 1:
        return float(len(sizes))
    variance = len(sizes) / (len(sizes) - 1) * ((right - rate * sizes) ** 2).sum() / count**2
    return max(1.0, count / max(1.0, variance * (count - 1) / (rate * (1 - rate))))
