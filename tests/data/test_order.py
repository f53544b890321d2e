"""The order of an epoch: a permutation, fixed by seed and epoch, each one as likely."""

import itertools

import numpy as np

from keras_imgcls.data.order import epoch_order


def test_every_sample_comes_once():
    ids = np.arange(3, 1000, 2)
    order = epoch_order(ids, seed=4, epoch=2)
    assert order.dtype == np.int64 and not np.array_equal(order, ids)
    assert np.array_equal(np.sort(order), ids)


def test_the_order_is_pinned():
    """A change here breaks the resuming and the repeating of every run made before."""
    assert epoch_order(np.arange(10), seed=0, epoch=0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    assert epoch_order(np.arange(10), seed=2**64 - 1, epoch=3).tolist() == [3, 2, 8, 0, 1, 6, 9, 5, 4, 7]


def test_seeds_and_epochs_give_other_orders():
    ids = np.arange(50)
    orders = {tuple(epoch_order(ids, seed, epoch)) for seed in (0, 1, 2**32, 2**63) for epoch in range(20)}
    assert len(orders) == 80


def test_each_permutation_is_equally_likely():
    ids, count = np.arange(4), 12_000
    seen = dict.fromkeys(itertools.permutations(range(4)), 0)
    for epoch in range(count):
        seen[tuple(epoch_order(ids, 0, epoch).tolist())] += 1
    expected = count / 24
    statistic = sum((times - expected) ** 2 / expected for times in seen.values())
    assert statistic < 23 + 5 * np.sqrt(2 * 23)


def test_no_samples_have_an_order_too():
    assert epoch_order(np.arange(0), 0, 0).shape == (0,)
