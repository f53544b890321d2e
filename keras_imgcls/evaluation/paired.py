"""Paired comparison: what two models on the same images, or a rate and a limit, can be said to differ by."""

from math import exp, fsum, lgamma, log, sqrt
from statistics import NormalDist

import numpy as np


def is_below(successes: int, count: int, limit: float, confidence: float = 0.95) -> bool:
    """Whether `successes` of `count` say that the true rate is below `limit`, at a (two-sided) level of `confidence`.

    The exact binomial test, which is the upper end of the interval of Clopper and Pearson (Biometrika 26, 1934) against
    `limit`. Two failures of 38 don't refute a rate of 99 %, three do.
    """
    failures = count - successes
    if limit <= 0 or failures == 0:
        return False
    if limit >= 1:
        return True
    fewer = fsum(exp(_log_choose(count, k) + k * log(1 - limit) + (count - k) * log(limit)) for k in range(failures))
    return 1 - fewer < (1 - confidence) / 2


def drop_interval(before: np.ndarray, after: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The interval `(low, high)` of the loss of accuracy from one model to another on the same images.

    Only images on which they differ count. Half an image is added to each cell of the 2 x 2 table, which keeps the level
    in small samples (Agresti and Min, "Simple improved confidence intervals for comparing matched proportions",
    Statistics in Medicine 24, 2005).

    Args:
        before: whether the first model is right, for each image.
        after: whether the second one is.
        confidence: the level of the interval.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    lost, won = int((before & ~after).sum()) + 0.5, int((after & ~before).sum()) + 0.5
    count = len(before) + 2
    drop = (lost - won) / count
    reach = z * sqrt((lost + won) / count - drop * drop) / sqrt(count)
    return drop - reach, drop + reach


def _log_choose(count: int, k: int) -> float:
    return lgamma(count + 1) - lgamma(k + 1) - lgamma(count - k + 1)
