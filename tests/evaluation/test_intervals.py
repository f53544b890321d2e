from math import sqrt

import numpy as np
import pytest

from keras_imgcls.evaluation.intervals import effective_count, wilson


@pytest.mark.parametrize(
    "successes, count, low, high",
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_numbers(successes, count, low, high):
    assert wilson(successes, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("successes, count", [(0, 1), (1, 1), (3, 10), (94, 100), (9_412, 10_000), (10_000, 10_000)])
def test_it_is_the_rates_that_the_score_test_does_not_reject(successes, count):
    """The definition: all p with |observed - p| <= z sqrt(p (1 - p) / n), found here on a fine grid."""
    rates = np.linspace(0, 1, 1_000_001)
    z = 1.959963984540054
    kept = rates[np.abs(successes / count - rates) <= z * np.sqrt(rates * (1 - rates) / count) + 1e-12]
    assert wilson(successes, count) == pytest.approx((kept.min(), kept.max()), abs=2e-6)


def test_it_covers_the_true_rate_as_often_as_it_says():
    random = np.random.default_rng(0)
    for rate in (0.5, 0.9, 0.97):
        intervals = [wilson(int(successes), 200) for successes in random.binomial(200, rate, 4_000)]
        covered = np.mean([low <= rate <= high for low, high in intervals])
        assert covered == pytest.approx(0.95, abs=0.02 + 3 * sqrt(0.95 * 0.05 / 4_000))


def test_more_confidence_is_wider():
    narrow, wide = wilson(90, 100, 0.9), wilson(90, 100, 0.99)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


@pytest.mark.parametrize("successes, count", [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, count):
    with pytest.raises(ValueError, match=f"received {successes} of {count}"):
        wilson(successes, count)


def test_an_impossible_confidence_is_refused():
    with pytest.raises(ValueError, match=r"Expected a confidence between 0 and 1, received 95"):
        wilson(1, 2, 95)


def test_images_that_are_alone_count_in_full_and_copies_once():
    correct = np.random.default_rng(0).random(200) < 0.7
    assert effective_count(correct, np.full(200, "")) == pytest.approx(200)
    assert effective_count(correct, np.arange(200).astype(str)) == pytest.approx(200)
    copies = effective_count(np.repeat(correct, 5), np.repeat(np.arange(200).astype(str), 5))
    assert copies == pytest.approx(200, rel=0.01)


def test_groups_count_once_where_all_are_right_or_none():
    groups = np.array(["a"] * 5 + ["b"] * 3 + ["", ""])
    assert effective_count(np.ones(10, bool), groups) == effective_count(np.zeros(10, bool), groups) == 4
    assert effective_count(np.array([True, False]), np.array(["a", "a"])) == 1


def test_intervals_of_groups_hold_their_level_where_those_of_images_do_not():
    """60 tracks of 6 frames, each track as hard as it happens to be: how often the interval has the true rate."""
    draw, inside = np.random.default_rng(0), {"groups": 0, "images": 0}
    groups = np.repeat(np.arange(60).astype(str), 6)
    for _ in range(400):
        correct = draw.random(360) < np.repeat(draw.beta(1.6, 0.4, 60), 6)
        for name, count in (("groups", effective_count(correct, groups)), ("images", 360)):
            low, high = wilson(correct.mean() * count, count)
            inside[name] += low <= 0.8 <= high
    assert inside["images"] < 0.85 * 400 < 0.91 * 400 < inside["groups"]
