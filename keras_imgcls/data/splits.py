"""Splits drawn by us: stratified, whole groups, and a pure function of the seed and of what the samples are.

Each sample (or group) is ranked by a hash of the seed and its name, and the first of each class are taken. So the order
of the rows doesn't matter, and a photo added later moves at most a few others from one split to another.
"""

import hashlib
from dataclasses import replace

import numpy as np

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.manifest import Manifest


def split_off(manifest: Manifest, fraction: float, seed: int, from_split: str, to_split: str) -> Manifest:
    """`manifest` with `fraction` of the samples in `from_split` moved to `to_split`, in each class alike.

    The number moved is `fraction` of all, rounded, shared among the classes by largest remainder. A class of two or
    more samples (or groups) keeps one at least in `from_split`; one that is alone stays. Groups move whole, with the
    class that most of their samples have, so that their counts are met as nearly as whole groups allow. One that another
    split has a part of already, since splits were given so, stays.

    Args:
        manifest: the samples; rows may be in any order.
        fraction: the share to move, from 0 up to but without 1.
        seed: another seed gives another choice.
        from_split: where samples are taken from.
        to_split: where they go; also part of what ranks them, so that two splits are independent draws.
    """
    rows = manifest.ids(from_split)
    if not len(rows):
        return manifest
    classes = manifest.classes()[rows]
    units, unit_of_row = np.unique(_unit_names(manifest, rows), return_inverse=True)
    sizes = np.bincount(unit_of_row, minlength=len(units))
    unit_classes = _majority(unit_of_row, classes, len(units), len(manifest.class_names))
    targets = _shares(np.bincount(unit_classes, sizes, len(manifest.class_names)).astype(np.int64), fraction)
    free = ~np.isin(units, _unit_names(manifest, np.flatnonzero(manifest.splits != from_split)))
    moved = np.zeros(len(units), bool)
    for class_index, target in enumerate(targets):
        ranked = _ranked(units, np.flatnonzero((unit_classes == class_index) & free), seed, to_split)
        moved[_fill(ranked[:-1], sizes, target)] = True
    for class_index in np.setdiff1d(classes, classes[~moved[unit_of_row]]):  # it came along in other classes' groups
        moved[unit_of_row[classes == class_index][0]] = False
    splits = manifest.splits.astype(object)
    splits[rows[moved[unit_of_row]]] = to_split
    return replace(manifest, splits=splits.astype(str))


def hold_out(manifest: Manifest, folds: int, fold: int, seed: int) -> Manifest:
    """`manifest` for one fold of a cross-validation: what is held out is `test`, all else is `train`.

    Args:
        manifest: the samples; their splits don't matter.
        folds: how many there are.
        fold: the one held out, from 1.
        seed: another seed gives other folds.

    Raises:
        UserError: there are fewer groups (or samples) than folds.
    """
    held_out = fold_numbers(manifest, folds, seed) == fold
    return replace(manifest, splits=np.where(held_out, "test", "train"))


def fold_numbers(manifest: Manifest, folds: int, seed: int) -> np.ndarray:
    """The fold (int64, from 1) in which each sample is held out; 0 where it never is.

    The folds are alike in each class and in size, as nearly as whole groups allow. A group that has all samples of a
    class is never held out: without it training would not know the class.

    Raises:
        UserError: there are fewer groups (or samples) than folds.
    """
    rows, classes = np.arange(len(manifest)), manifest.classes()
    units, unit_of_row = np.unique(_unit_names(manifest, rows), return_inverse=True)
    sizes = np.bincount(unit_of_row, minlength=len(units))
    in_unit = np.zeros((len(units), len(manifest.class_names)), np.int64)
    np.add.at(in_unit, (unit_of_row, classes), 1)
    needed = ((in_unit == in_unit.sum(axis=0)) & (in_unit > 0)).any(axis=1)
    unit_classes, numbers = in_unit.argmax(axis=1), np.zeros(len(units), np.int64)
    held, totals = np.zeros((folds, len(manifest.class_names)), np.int64), np.zeros(folds, np.int64)
    for class_index in range(len(manifest.class_names)):
        ranked = _ranked(units, np.flatnonzero((unit_classes == class_index) & ~needed), seed, "fold")
        for unit in ranked[np.argsort(-sizes[ranked], kind="stable")]:  # the large ones first: small ones even out
            fold = np.lexsort((totals, held[:, class_index]))[0]
            numbers[unit] = fold + 1
            held[fold] += in_unit[unit]
            totals[fold] += sizes[unit]
    if not totals.all():
        raise UserError(f"--folds={folds}: there are only {np.count_nonzero(numbers)} groups or images to hold out.")
    return numbers[unit_of_row]


def stratified_fraction(manifest: Manifest, fraction: float, seed: int, split: str = "train") -> np.ndarray:
    """The rows (int64, ascending) that remain when `fraction` of each class in `split` is kept, in whole groups.

    At least one sample of each class is kept, and other splits remain whole. Under one seed a smaller fraction is a part
    of a larger one, as learning curves want it.
    """
    rows = manifest.ids(split)
    classes = manifest.classes()[rows]
    units, unit_of_row = np.unique(_unit_names(manifest, rows), return_inverse=True)
    sizes = np.bincount(unit_of_row, minlength=len(units))
    unit_classes = _majority(unit_of_row, classes, len(units), len(manifest.class_names))
    kept = np.zeros(len(units), bool)
    for class_index in np.unique(classes):
        ranked = _ranked(units, np.flatnonzero(unit_classes == class_index), seed, "fraction")
        filled = np.cumsum(np.append(0, sizes[ranked]))  # the first so many units: what comes nearest may skip none
        kept[ranked[: np.abs(filled - fraction * filled[-1]).argmin()]] = True
        kept[_ranked(units, np.unique(unit_of_row[classes == class_index]), seed, "fraction")[0]] = True
    others = np.flatnonzero(manifest.splits != split)
    return np.sort(np.concatenate([others, rows[kept[unit_of_row]]])).astype(np.int64)


def _unit_names(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    """What must stay together, by name: the group, or the sample itself where it has none."""
    sources = np.char.add("sample ", manifest.sources[rows].astype(str))
    if manifest.groups is None:
        return sources
    groups = manifest.groups[rows].astype(str)
    return np.where(groups == "", sources, np.char.add("group ", groups))


def _majority(units: np.ndarray, classes: np.ndarray, unit_count: int, class_count: int) -> np.ndarray:
    """The class that most samples of each unit have, the first of equals."""
    pairs, counts = np.unique(units * class_count + classes, return_counts=True)
    majority = np.zeros(unit_count, np.int64)
    for pair in pairs[np.lexsort((-pairs, counts))]:
        majority[pair // class_count] = pair % class_count
    return majority


def _shares(counts: np.ndarray, fraction: float) -> np.ndarray:
    """`fraction` of each count as whole numbers whose sum is the rounded fraction of all (largest remainder)."""
    exact = fraction * counts
    shares = np.floor(exact).astype(np.int64)
    missing = round(fraction * counts.sum()) - shares.sum()
    shares[np.lexsort((shares - exact, counts < 2))[: max(missing, 0)]] += 1  # one that is alone stays
    return shares


def _ranked(names: np.ndarray, members: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """`members` (indices of `names`) in the order of a hash."""
    keys = [
        hashlib.blake2b(f"{seed}|{purpose}|{names[member]}".encode(), digest_size=16).digest() for member in members
    ]
    return members[sorted(range(len(members)), key=keys.__getitem__)] if len(members) else members


def _fill(ranked: np.ndarray, sizes: np.ndarray, target: int) -> list[int]:
    """The first units of `ranked` whose sizes come nearest to `target`; what overshoots by too much is passed over."""
    taken, total = [], 0
    for unit in ranked:
        if 2 * (target - total) >= sizes[unit]:
            taken.append(unit)
            total += sizes[unit]
    return taken
