"""Splits are stratified, disjoint, whole by groups, and a pure function of the seed and of what the samples are."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.splits import fold_numbers, hold_out, split_off, stratified_fraction


def manifest_of(counts, groups=None, seed=0):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    sources = np.array([f"photo{number:05}.jpg" for number in range(len(classes))])
    names = tuple(f"class{index}" for index in range(len(counts)))
    return Manifest(sources, one_hot(classes, len(counts)), np.full(len(classes), "train"), names, groups)


def counts_in(manifest, split):
    return np.bincount(manifest.classes()[manifest.ids(split)], minlength=len(manifest.class_names)).tolist()


def members(manifest, split):
    return set(manifest.sources[manifest.ids(split)])


@pytest.mark.parametrize(
    ("counts", "fraction"), [((100, 50, 10), 0.2), ((7, 7, 7, 7), 0.1), ((1, 2, 997), 0.5), ((33,) * 43, 0.15)]
)
def test_each_class_gives_its_share_and_the_whole_is_exact(counts, fraction):
    split = split_off(manifest_of(counts), fraction, 3, "train", "validation")
    moved = np.array(counts_in(split, "validation"))
    assert moved.sum() == round(fraction * sum(counts))
    assert np.all(np.abs(moved - fraction * np.array(counts)) < 1)
    assert np.array_equal(moved + counts_in(split, "train"), counts)


def test_labels_and_sources_stay_as_they_are():
    manifest = manifest_of((20, 30))
    split = split_off(manifest, 0.3, 0, "train", "validation")
    assert np.array_equal(split.sources, manifest.sources) and np.array_equal(split.labels, manifest.labels)


def test_the_choice_depends_on_the_seed_and_the_split_and_nothing_else():
    manifest = manifest_of((60, 40))
    chosen = members(split_off(manifest, 0.25, 5, "train", "test"), "test")
    shuffled = manifest.take(np.random.default_rng(1).permutation(len(manifest)))
    assert members(split_off(shuffled, 0.25, 5, "train", "test"), "test") == chosen
    assert members(split_off(manifest, 0.25, 6, "train", "test"), "test") != chosen
    assert members(split_off(manifest, 0.25, 5, "train", "validation"), "validation") != chosen


def test_the_choice_is_written_down():
    """A change of the ranking would silently put training images of old runs into their test split."""
    split = split_off(manifest_of((6, 6)), 0.34, 0, "train", "test")
    assert sorted(members(split, "test")) == ["photo00003.jpg", "photo00009.jpg", "photo00010.jpg", "photo00011.jpg"]


def test_a_photo_added_later_moves_at_most_one_other():
    manifest = manifest_of((50, 50))
    before = members(split_off(manifest, 0.2, 0, "train", "test"), "test")
    for row in range(0, 100, 7):
        smaller = manifest.take(np.delete(np.arange(100), row))
        after = members(split_off(smaller, 0.2, 0, "train", "test"), "test")
        assert len(after ^ (before - {manifest.sources[row]})) <= 2


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_no_class_loses_its_last_training_sample(fraction):
    split = split_off(manifest_of((1, 2, 3, 40)), fraction, 0, "train", "test")
    assert min(counts_in(split, "train")) >= 1


def test_nothing_happens_without_a_share_or_samples():
    manifest = manifest_of((5, 5))
    assert counts_in(split_off(manifest, 0.0, 0, "train", "test"), "test") == [0, 0]
    assert split_off(manifest, 0.5, 0, "validation", "test") is manifest


def test_other_splits_are_left_alone():
    manifest = split_off(manifest_of((50, 50)), 0.2, 0, "train", "test")
    again = split_off(manifest, 0.25, 0, "train", "validation")
    assert members(again, "test") == members(manifest, "test")
    assert [len(again.ids(split)) for split in ("train", "validation", "test")] == [60, 20, 20]


def test_groups_are_never_split():
    generator = np.random.default_rng(4)
    manifest = manifest_of((300, 200, 100))
    groups = np.array([f"track{number}" for number in generator.integers(0, 60, 600)])
    groups[:30] = ""
    manifest = replace(manifest, groups=groups)
    for seed in range(5):
        split = split_off(manifest, 0.2, seed, "train", "test")
        named = groups != ""
        tests = set(groups[named & (split.splits == "test")])
        assert tests and not tests & set(groups[named & (split.splits == "train")])
        assert abs(len(split.ids("test")) - 120) <= 30
        assert min(counts_in(split, "train")) >= 1


def test_a_group_that_given_splits_tear_apart_goes_into_no_third_one():
    manifest = manifest_of((40, 40))
    groups = np.where(np.arange(80) % 4 == 0, np.char.mod("g%d", np.arange(80) // 8), "")
    manifest = replace(manifest, groups=groups, splits=np.where(np.arange(80) % 8 == 4, "test", "train"))
    torn = set(groups[manifest.ids("test")])
    split = split_off(manifest, 0.3, 0, "train", "validation")
    assert len(split.ids("validation")) > 15
    assert not torn & set(groups[split.ids("validation")])


def test_groups_of_one_class_are_stratified():
    counts = (300, 200, 100)
    manifest = manifest_of(counts)
    classes = manifest.classes()
    within = np.concatenate([np.arange(count) for count in counts])[np.argsort(np.argsort(classes, kind="stable"))]
    groups = np.array([f"{label}-{number // 10}" for label, number in zip(classes, within, strict=True)])
    split = split_off(replace(manifest, groups=groups), 0.2, 0, "train", "test")
    assert counts_in(split, "test") == [60, 40, 20]


def test_a_class_that_only_comes_along_in_groups_stays_in_training():
    classes = np.array([0] * 9 + [1] + [0] * 30)
    groups = np.array(["mixed"] * 10 + [f"g{number // 10}" for number in range(30)])
    sources = np.arange(40).astype(str)
    manifest = Manifest(sources, one_hot(classes, 2), np.full(40, "train"), ("common", "rare"), groups)
    for seed in range(10):
        assert counts_in(split_off(manifest, 0.5, seed, "train", "test"), "train")[1] == 1


def test_a_fraction_keeps_its_share_of_each_class_and_the_other_splits():
    manifest = split_off(manifest_of((100, 50, 3)), 0.2, 0, "train", "test")
    kept = manifest.take(stratified_fraction(manifest, 0.1, 0))
    assert counts_in(kept, "train") == [8, 4, 1]
    assert members(kept, "test") == members(manifest, "test")


def test_smaller_fractions_are_parts_of_larger_ones():
    manifest = manifest_of((100, 50, 3))
    parts = [set(stratified_fraction(manifest, fraction, 0)) for fraction in (0.01, 0.05, 0.2, 0.5, 0.9, 1.0)]
    assert all(small < large for small, large in itertools.pairwise(parts))
    assert len(parts[-1]) == len(manifest)


def test_fractions_keep_groups_whole_and_lie_in_each_other():
    manifest = manifest_of((300, 200, 100))
    groups = np.array([f"track{number}" for number in np.random.default_rng(4).integers(0, 60, 600)])
    manifest = replace(manifest, groups=groups)
    parts = [stratified_fraction(manifest, fraction, 0) for fraction in (0.01, 0.1, 0.3, 0.5, 0.8, 1.0)]
    for part in parts:
        assert not set(groups[part]) & set(np.delete(groups, part))
        assert len(set(manifest.classes()[part])) == 3
    assert all(set(small) < set(large) for small, large in itertools.pairwise(parts))
    assert abs(len(parts[3]) - 300) <= 30 and len(parts[-1]) == 600


@pytest.mark.parametrize(("counts", "folds"), [((98, 155), 5), ((7, 30, 2, 55), 4), ((10, 10), 10)])
def test_folds_are_alike_in_each_class_and_in_size(counts, folds):
    manifest = manifest_of(counts)
    numbers = fold_numbers(manifest, folds, 0)
    sizes = np.bincount(numbers, minlength=folds + 1)
    assert sizes[0] == 0 and np.ptp(sizes[1:]) <= 1
    for class_index in range(len(counts)):
        assert np.ptp(np.bincount(numbers[manifest.classes() == class_index], minlength=folds + 1)[1:]) <= 1


def test_folds_depend_on_the_seed_and_not_on_the_order_of_rows():
    manifest = manifest_of((40, 30))
    order = np.random.default_rng(0).permutation(70)
    numbers = fold_numbers(manifest, 5, 1)
    assert np.array_equal(fold_numbers(manifest.take(order), 5, 1), numbers[order])
    assert not np.array_equal(fold_numbers(manifest, 5, 2), numbers)


def test_folds_keep_groups_whole_and_training_knows_every_class():
    generator = np.random.default_rng(4)
    manifest = manifest_of((300, 200, 100, 1))
    groups = np.array([f"track{number}" for number in generator.integers(0, 60, 601)])
    alone = manifest.classes() == 3
    manifest = replace(manifest, groups=groups)
    numbers = fold_numbers(manifest, 5, 0)
    assert all(len(set(numbers[groups == group])) == 1 for group in set(groups))
    assert set(groups[numbers == 0]) == set(groups[alone])
    assert np.ptp(np.bincount(numbers)[1:]) <= 15
    for fold in range(1, 6):
        split = hold_out(manifest, 5, fold, 0)
        assert np.array_equal(split.splits == "test", numbers == fold)
        assert min(counts_in(split, "train")) >= 1


def test_more_folds_than_groups_are_refused():
    manifest = replace(manifest_of((4, 4)), groups=np.array(["a", "b", "c", "d"] * 2))
    with pytest.raises(UserError, match=r"--folds=5: there are only \d groups or images to hold out\."):
        fold_numbers(manifest, 5, 0)
