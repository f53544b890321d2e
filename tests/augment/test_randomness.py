"""Random numbers are what their address says, and look independent along every part of it."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment.randomness import Draws, pcg4d, stream
from keras_imgcls.core.errors import UserError

COUNT = 40_000
SIGMAS = 5  # of a standard normal: one in 1.7 million by chance


def reference_hash(x, y, z, w):
    """pcg4d as published, in Python's integers."""

    def multiply_add(value, factor, term):
        return (value * factor + term) % 2**32

    x, y, z, w = (multiply_add(word, 1664525, 1013904223) for word in (x, y, z, w))
    for last in (False, True):
        x = multiply_add(y, w, x)
        y = multiply_add(z, x, y)
        z = multiply_add(x, y, z)
        w = multiply_add(y, z, w)
        if not last:
            x, y, z, w = (word ^ (word >> 16) for word in (x, y, z, w))
    return x, y, z, w


def uniform(seed=0, operation=0, ids=None, epoch=0, count=1):
    ids = np.arange(COUNT) if ids is None else ids
    return Draws(stream(seed, operation), tf.constant(ids, tf.int64), epoch).uniform(count).numpy()


def chi_square_sigmas(counts):
    """How many standard deviations the chi-square statistic of equally likely cells is from its mean."""
    expected = counts.sum() / counts.size
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = counts.size - 1
    return abs(statistic - freedom) / np.sqrt(2 * freedom)


def assert_independent(one, other):
    """Neither correlated nor dependent in a 32 x 32 table."""
    assert abs(np.corrcoef(one, other)[0, 1]) < SIGMAS / np.sqrt(len(one))
    table, _, _ = np.histogram2d(one, other, bins=32, range=((0, 1), (0, 1)))
    assert chi_square_sigmas(table) < SIGMAS


def test_hash_is_the_published_one():
    words = np.random.default_rng(0).integers(0, 2**32, (50, 4), dtype=np.uint32)
    words[0], words[1] = 0, 2**32 - 1
    assert pcg4d(tf.constant(words)).numpy().tolist() == [list(reference_hash(*map(int, row))) for row in words]


def test_numbers_are_the_hash_of_their_address():
    seed, operation, epoch, ids = 2**40 + 7, 3, 11, [0, 5, 2**32 + 5, 2**62 + 1]
    key = reference_hash(seed % 2**32, seed >> 32, operation, 0)
    expected = []
    for sample in ids:
        address = ((sample % 2**32, sample >> 32, epoch, draw) for draw in (0, 1))
        words = [word for part in address for word in reference_hash(*(a ^ k for a, k in zip(part, key, strict=True)))]
        expected.append([(word >> 8) / 2**24 for word in words[:6]])
    assert uniform(seed, operation, ids, epoch, 6).tolist() == expected


@pytest.mark.parametrize("step", [1, 2, 2**8, 2**20, 2**31, 2**32, 2**45])
def test_numbers_are_uniform_whatever_the_ids_have_in_common(step):
    numbers = uniform(ids=np.arange(COUNT) * step, count=4)
    for column in numbers.T:
        assert chi_square_sigmas(np.histogram(column, 256, (0, 1))[0]) < SIGMAS
        # Kolmogorov-Smirnov: the critical value at 1e-6 is sqrt(ln(2 / 1e-6) / 2) = 2.69.
        distance = np.abs(np.sort(column) - (np.arange(COUNT) + 0.5) / COUNT).max()
        assert distance * np.sqrt(COUNT) < 2.7


def test_one_sample_gets_uniform_numbers_over_epochs_and_over_draws():
    in_epoch = tf.function(lambda epoch: Draws(stream(0, 0), [3], epoch).uniform(1))
    over_epochs = np.array([in_epoch(tf.constant(epoch)) for epoch in range(2000)])
    assert chi_square_sigmas(np.histogram(over_epochs, 64, (0, 1))[0]) < SIGMAS
    over_draws = uniform(ids=[3], count=COUNT)
    assert chi_square_sigmas(np.histogram(over_draws, 256, (0, 1))[0]) < SIGMAS


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"seed": 2**32}, {"seed": 2**63}, {"operation": 1}, {"operation": 2},
        {"epoch": 1}, {"epoch": 2}, {"epoch": 1000},
        {"ids": np.arange(COUNT) + COUNT}, {"ids": np.arange(COUNT) + 2**32}, {"ids": np.arange(COUNT) ^ 1},
    ],
    ids=str,
)  # fmt: skip
def test_another_seed_operation_epoch_or_id_gives_independent_numbers(change):
    assert_independent(uniform()[:, 0], uniform(**change)[:, 0])


def test_draws_of_a_sample_are_independent():
    numbers = uniform(count=8)
    for first in range(8):
        for second in range(first):
            assert_independent(numbers[:, first], numbers[:, second])


def test_neighbouring_samples_are_independent():
    numbers = uniform()[:, 0]
    for lag in (1, 2, 3, 64, 128):
        assert_independent(numbers[:-lag], numbers[lag:])


def test_no_two_seeds_are_alike():
    seeds = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
    keys = {tuple(stream(seed, operation)) for seed in seeds for operation in range(50)}
    assert len(keys) == len(seeds) * 50


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_would_share_its_numbers_is_refused(seed):
    with pytest.raises(UserError, match=rf"A seed is a whole number from 0 to 2\^64 - 1; received {seed}\."):
        stream(seed, 0)


def test_numbers_do_not_depend_on_the_batch():
    whole = uniform(ids=np.arange(100), count=3)
    parts = [uniform(ids=np.arange(first, min(first + 7, 100)), count=3) for first in range(0, 100, 7)]
    assert np.array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(uniform(ids=order, count=3), whole[order])
    assert uniform(ids=[], count=3).shape == (0, 3)


def test_each_call_goes_on_where_the_last_one_ended():
    draws = Draws(stream(0, 0), tf.range(10, dtype=tf.int64), 0)
    first, second = draws.uniform(4).numpy(), draws.uniform(2).numpy()
    assert np.array_equal(np.concatenate([first, second], axis=1), uniform(ids=np.arange(10), count=6))
    assert np.array_equal(draws.in_epoch(5).uniform(4), uniform(ids=np.arange(10), epoch=5, count=4))


def test_numbers_have_24_bits_below_one():
    scaled = uniform(count=4).astype(np.float64) * 2**24
    assert np.array_equal(scaled, scaled.round())
    assert scaled.min() >= 0 and scaled.max() < 2**24
    assert (scaled % 2 == 1).mean() == pytest.approx(0.5, abs=0.01)


def test_integers_reach_both_ends_and_no_further():
    draws = Draws(stream(0, 0), tf.range(COUNT, dtype=tf.int64), 0)
    counts = np.bincount(draws.integers(-4, 4).numpy()[:, 0] + 4)
    assert len(counts) == 9 and chi_square_sigmas(counts) < SIGMAS
    pairs = draws.integers(0, (2, 6), 2).numpy()
    assert pairs.min(axis=0).tolist() == [0, 0] and pairs.max(axis=0).tolist() == [2, 6]


def test_the_largest_number_times_a_span_stays_below_it():
    spans = np.arange(1, 10_000, dtype=np.float32)
    assert (spans * np.float32(1 - 2.0**-24) < spans).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_eager_graph_and_xla_agree(compiled):
    ids = tf.constant(np.arange(33) * 2**31)

    @tf.function(jit_compile=compiled)
    def in_graph(ids, epoch):
        return Draws(stream(9, 2), ids, epoch).uniform(5)

    for epoch in (0, 3):
        assert np.array_equal(in_graph(ids, tf.constant(epoch)), Draws(stream(9, 2), ids, epoch).uniform(5))
