"""A sequence does what its spec says, and what it gives a sample depends on seed, epoch and id alone."""

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment import sequence
from keras_imgcls.core.errors import UserError

SPEC = "pad_crop(2)|flip|cutout(3)"
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 10, 12, 3), dtype=np.uint8)
LABELS = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
IDS = np.random.default_rng(1).permutation(60) + 2**40


def run(spec, rows=slice(None), seed=0, epoch=1):
    return sequence.build(spec, seed)(IMAGES[rows], LABELS[rows], IDS[rows], epoch)[0].numpy()


def test_an_empty_spec_changes_nothing():
    for spec in ("", "none"):
        images, labels = sequence.build(spec, 0)(IMAGES, LABELS, IDS, 0)
        assert np.array_equal(images, IMAGES) and np.array_equal(labels, LABELS)


def test_a_sample_is_the_same_in_any_batch():
    whole = run(SPEC)
    for size in (1, 7, 60):
        parts = [run(SPEC, slice(first, first + size)) for first in range(0, 60, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(2).permutation(60)
    assert np.array_equal(run(SPEC, order), whole[order])


def test_seed_epoch_and_id_each_matter():
    whole = run(SPEC)
    assert not np.array_equal(run(SPEC, seed=1), whole)
    assert not np.array_equal(run(SPEC, epoch=2), whole)
    other_ids = sequence.build(SPEC, 0)(IMAGES, LABELS, IDS + 2**32, 1)[0].numpy()
    assert not np.array_equal(other_ids, whole)


def test_the_same_operation_twice_draws_twice():
    once, twice = run("pad_crop(2)|flip(0)"), run("flip(0)|pad_crop(2)")
    assert not np.array_equal(once, twice)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_host_and_device_give_the_same_pixels(workers):
    augment = sequence.build(SPEC, 3)
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, IDS)).batch(16)
    on_host = dataset.map(lambda images, labels, ids: augment(images, labels, ids, 4), num_parallel_calls=workers)
    in_step = tf.function(augment)
    for (images, labels, ids), (expected, _) in zip(dataset, on_host, strict=True):
        assert np.array_equal(in_step(images, labels, ids, tf.constant(4))[0], expected)


def test_labels_pass_through():
    assert np.array_equal(sequence.build(SPEC, 0)(IMAGES, LABELS, IDS, 0)[1], LABELS)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pad_corp(4)", "Unknown augmentation 'pad_corp'. Did you mean 'pad_crop'?"),
        ("pad_crop(pixel=4)", "pad_crop has no argument 'pixel'. Did you mean 'pixels'?"),
        ("pad_crop(-1)", "pad_crop's pixels is a whole number from 0 to 4096; received -1."),
        ("pad_crop(4.5)", "pad_crop's pixels is a whole number from 0 to 4096; received 4.5."),
        ("pad_crop(True)", "pad_crop's pixels is a whole number from 0 to 4096; received True."),
        (
            "pad_crop(4, mode='reflct')",
            "pad_crop's mode is one of 'reflect', 'constant'; received 'reflct'. Did you mean 'reflect'?",
        ),
        (
            "pad_crop(4, constnt)",
            "pad_crop's mode is one of 'reflect', 'constant'; received 'constnt'. Did you mean 'constant'?",
        ),
        ("flip(1.5)", "flip's probability is a number from 0 to 1; received 1.5."),
        ("flip('often')", "flip's probability is a number from 0 to 1; received 'often'."),
        (
            "cutout(8, fill=256)",
            "cutout's fill is a grey level from 0 to 255, or three (red, green, blue); received 256.",
        ),
        (
            "cutout(8, fill=(1, 2))",
            "cutout's fill is a grey level from 0 to 255, or three (red, green, blue); received (1, 2).",
        ),
    ],
)
def test_bad_specs_are_told_at_once(spec, message):
    with pytest.raises(UserError, match=re.escape(message)):
        sequence.build(spec, 0)
