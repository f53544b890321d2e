"""Mixing: each pixel and each label is the stated part of two samples."""

import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_imgcls.augment.mix import beta, build_mix
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MIXES

COUNT = 64
PER_BATCH = ("mixup(1.0, per='batch')", "cutmix(per='batch')", "choice(mixup(per='batch'), cutmix(per='batch'))")
PER_SAMPLE = ("mixup", "mixup(1.0)", "cutmix", "choice(mixup(0.2), cutmix(1.0))")
SPECS = (*PER_SAMPLE, *PER_BATCH)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 10, 3), dtype=np.uint8)
ONE_HOT = np.eye(5, dtype=np.float32)[np.arange(COUNT) % 5]
MULTI_HOT = np.random.default_rng(1).integers(0, 2, (COUNT, 5)).astype(np.float32)
IDS = np.arange(COUNT) + 2**33


def run(spec, images=IMAGES, labels=ONE_HOT, seed=3, epoch=1, ids=IDS, **options):
    mixed = build_mix(spec, seed, **options)(tf.constant(images), tf.constant(labels), ids, epoch)
    return [part.numpy() for part in mixed]


def shares(spec, **options):
    """Each pixel's own share, read off from white images beside black ones: of shape (batch, height, width)."""
    white = np.where(np.arange(COUNT) % 2, 255, 0).astype(np.uint8)[:, None, None, None] + np.zeros_like(IMAGES)
    own = run(spec, white, **options)[0][..., 0] / 255
    return np.where((np.arange(COUNT) % 2)[:, None, None], own, 1 - own)


@pytest.mark.parametrize("labels", [ONE_HOT, MULTI_HOT], ids=["one-hot", "multi-hot"])
@pytest.mark.parametrize("spec", SPECS)
def test_labels_are_mixed_as_the_pixels_are(spec, labels):
    kept = shares(spec)
    mean = kept.mean(axis=(1, 2))[:, None]
    images, mixed = run(spec, labels=labels)
    before = np.roll(labels, 1, axis=0)
    np.testing.assert_allclose(mixed, mean * labels + (1 - mean) * before, atol=1 / 255)
    assert np.array_equal(mixed[labels == before], labels[labels == before])  # what both have stays whole
    assert mixed.dtype == np.float32 and images.dtype == np.uint8
    expected = kept[..., None] * IMAGES + (1 - kept[..., None]) * np.roll(IMAGES, 1, axis=0)
    np.testing.assert_allclose(images, expected, atol=1.6)


def test_mixup_is_one_share_for_all_pixels_of_a_sample():
    kept = shares("mixup(1.0)")
    assert np.ptp(kept, axis=(1, 2)).max() == 0
    assert len(np.unique(kept[:, 0, 0])) > 40


def test_cutmix_is_a_box_and_its_label_counts_the_pixels():
    kept = shares("cutmix")
    assert set(np.unique(kept)) == {0, 1}
    for share in kept:
        rows, columns = np.nonzero(share == 0)
        if rows.size:
            assert (share[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 0).all()
    one = run("cutmix")[1].max(axis=1)
    assert np.allclose(np.maximum(kept.mean(axis=(1, 2)), 1 - kept.mean(axis=(1, 2))), one)


def test_a_choice_is_drawn_by_each_sample():
    kept = shares("choice(mixup(1.0), cutmix(1.0))")
    boxes = np.isin(kept, (0, 1)).all(axis=(1, 2))
    assert COUNT / 4 < boxes.sum() < 3 * COUNT / 4


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1, 2, 10])
def test_shares_are_of_the_beta_distribution(alpha):
    places = (np.arange(20_000, dtype=np.float32) + 0.5) / 20_000
    drawn = beta(tf.constant(places), alpha).numpy()
    cells = np.linspace(0, 1, 21)[1:-1]
    np.testing.assert_allclose((drawn[:, None] <= cells).mean(axis=0), stats.beta.cdf(cells, alpha, alpha), atol=1e-3)
    assert (np.diff(drawn) >= 0).all() and drawn.min() >= 0 and drawn.max() <= 1


@pytest.mark.parametrize("spec", SPECS)
def test_host_device_graph_and_xla_agree(spec):
    mix = build_mix(spec, 3)
    expected = run(spec)
    for compiled in (False, True):
        in_step = tf.function(mix, jit_compile=compiled)
        images, labels = in_step(IMAGES, ONE_HOT, IDS, tf.constant(1, tf.int64))
        # XLA's power is not bit-equal: a share may be the next multiple of 2^-16.
        assert np.abs(images.numpy().astype(int) - expected[0]).max() <= int(compiled)
        np.testing.assert_allclose(labels, expected[1], atol=1e-4 if compiled else 1e-6)
    dataset = tf.data.Dataset.from_tensors((IMAGES, ONE_HOT, IDS)).map(lambda *parts: mix(*parts, 1))
    assert np.array_equal(next(iter(dataset))[0], expected[0])


@pytest.mark.parametrize("spec", PER_SAMPLE)
def test_how_much_depends_on_seed_epoch_and_id_alone(spec):
    kept = shares(spec)
    assert np.array_equal(shares(spec), kept)
    for change in ({"seed": 4}, {"epoch": 2}, {"ids": IDS + 99}):
        assert not np.array_equal(shares(spec, **change), kept)
    order = np.random.default_rng(0).permutation(COUNT // 2) * 2
    order = np.stack([order, order + 1], 1).ravel()  # other neighbours, black and white as before
    assert np.array_equal(shares(spec, ids=IDS[order]), kept[order])


@pytest.mark.parametrize("spec", SPECS)
def test_it_ends_at_the_epoch_that_is_given(spec):
    for epoch, off in ((3, True), (4, True), (2, False), (0, False)):
        images, labels = run(spec, epoch=epoch, off_epoch=3)
        assert np.array_equal(images, IMAGES) == off and np.array_equal(labels, ONE_HOT) == off
        if not off:
            assert np.array_equal(images, run(spec, epoch=epoch)[0])


def test_no_mix_is_none():
    assert build_mix("none", 0) is None and build_mix("", 0) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mixpu", "Unknown mix 'mixpu'. Did you mean 'mixup'? Known: cutmix, mixup."),
        ("choice(mixup, cutmax(1))", "Unknown mix 'cutmax'. Did you mean 'cutmix'?"),
        ("mixup(0)", "mixup's alpha is a number from 0.01 to 10; received 0."),
        ("cutmix(beta=1)", "cutmix has no argument 'beta'. It takes: alpha, per."),
        ("choice(0.2)", "Expected a choice such as 'choice(mixup(0.2), cutmix(1.0))', received 'choice(0.2)'."),
        ("choice", "Expected a choice such as 'choice(mixup(0.2), cutmix(1.0))', received 'choice'."),
        ("mixup|cutmix", "Expected one name such as"),
    ],
)
def test_bad_specs_are_told_at_once(spec, message):
    with pytest.raises(UserError, match=re.escape(message)):
        build_mix(spec, 0)


def test_names_are_known_without_an_import():
    assert MIXES.names() == ["cutmix", "mixup"]
    assert all(MIXES.summary(name) for name in MIXES.names())


@pytest.mark.parametrize("spec", PER_BATCH)
def test_per_batch_all_samples_share_one_draw(spec):
    """And another batch, or another epoch, has another one."""
    drawn = [shares(spec, epoch=epoch, ids=IDS + shift) for epoch, shift in ((1, 0), (2, 0), (1, 7))]
    for kept in drawn:
        assert np.ptp(kept, axis=0).max() <= 1 / 255  # a mean of levels is rounded one way, another the other
    assert len({kept[0].tobytes() for kept in drawn}) == 3


def test_a_choice_per_batch_takes_each_in_turn():
    kinds = {len(np.unique(shares(PER_BATCH[-1], epoch=epoch)[0])) for epoch in range(12)}
    assert kinds == {1, 2}  # one share for all pixels, or a box


@pytest.mark.parametrize("spec", ["mixup(0.4)", "choice(mixup(0.2), cutmix(1.0))"])
def test_compiled_it_is_the_same(spec):
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (12, 10, 14, 3), np.uint8))
    labels, ids = tf.one_hot(np.arange(12) % 4, 4), tf.range(12, dtype=tf.int64)
    plain, compiled = (build_mix(spec, 3, compiled=choice)(images, labels, ids, 0) for choice in (False, True))
    assert np.array_equal(plain[0], compiled[0])
    np.testing.assert_allclose(plain[1], compiled[1], atol=1e-6)
