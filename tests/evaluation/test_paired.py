import numpy as np
import pytest
from scipy.stats import binomtest

from keras_imgcls.evaluation.paired import drop_interval, is_below


@pytest.mark.parametrize(
    "successes, count, limit", [(36, 38, 0.99), (35, 38, 0.99), (470, 500, 0.97), (480, 500, 0.97)]
)
def test_a_rate_is_below_a_limit_where_the_exact_test_says_so(successes, count, limit):
    expected = binomtest(successes, count, limit, alternative="less").pvalue < 0.025
    assert is_below(successes, count, limit) == expected


def test_two_of_38_decide_nothing_and_three_do():
    assert not is_below(36, 38, 0.99)
    assert is_below(35, 38, 0.99)


def test_ends():
    assert not is_below(0, 5, 0.0) and not is_below(5, 5, 1.0) and is_below(4, 5, 1.0)
    assert not is_below(10_000, 10_000, 0.99) and is_below(9_000, 10_000, 0.99)


def test_a_loss_counts_only_images_on_which_the_two_differ():
    before = np.arange(500) < 400
    after = before.copy()
    low, high = drop_interval(before, after)
    assert low < 0 < high < 0.01
    after[:25] = False
    low, high = drop_interval(before, after)
    assert 0.03 < low < 0.05 < high < 0.07


def test_the_interval_holds_its_level():
    """In 2,000 draws of 100 images with a true loss of 4 points, about 95 % of the intervals have it."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        case = random.choice(4, 100, p=[0.8, 0.07, 0.03, 0.1])
        low, high = drop_interval(case <= 1, (case == 0) | (case == 2))
        held += low <= 0.04 <= high
    assert 0.93 < held / 2000 < 0.98
