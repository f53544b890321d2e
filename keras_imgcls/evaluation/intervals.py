"""Intervals: how far a rate measured on some images may lie from the true one."""

from math import sqrt
from statistics import NormalDist


def wilson(successes: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval `(low, high)` of a proportion, within [0, 1].

    It keeps its level for small counts and rates near 0 or 1, where `p ± z·sqrt(p(1-p)/n)` doesn't (Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22, 1927). It takes the images for independent
    draws: for frames of the same video it is too narrow.

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
