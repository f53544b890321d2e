"""Readers: one per kind of dataset, each a function from options to samples; `load` picks one and draws the splits."""

from dataclasses import replace

import numpy as np

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import DATASETS
from keras_imgcls.data import groups
from keras_imgcls.data.manifest import Manifest
from keras_imgcls.data.samples import Samples
from keras_imgcls.data.splits import hold_out, split_off, stratified_fraction

TFDS = "tfds:"


def load(options: DataOptions, seed: int, training: bool = True) -> Samples:
    """The samples that `options` name, split, in the order of their ids: by split, then source.

    A test and a validation split are drawn from the training samples where the dataset has none, stratified, in whole
    groups, and as a function of `seed` and the samples alone; then `--fraction` of what is left for training is kept.

    With `--fold` the test split is that fold instead, of all samples but a test split that the dataset has.

    Args:
        options: the data flags.
        seed: chooses the splits.
        training: whether there must be something to train on: two classes or more, each class of the other splits in
            training too.

    Raises:
        UserError: the data can't be found or read, `--group_by` is found in no path, or it doesn't do for training.
    """
    samples = groups.grouped(_read(options, seed), options.group_by)
    if training:
        _require_classes(samples)
        groups.tell(samples)
    if options.fold:
        samples = _without_test(samples)
        samples = replace(samples, manifest=hold_out(samples.manifest, options.folds, options.fold, seed))
    manifest = samples.manifest
    for split, fraction in (("test", options.test_fraction), ("validation", options.validation_fraction)):
        if fraction and not len(manifest.ids(split)):
            manifest = split_off(manifest, fraction, seed, "train", split)
            _name_absent(manifest, split)
    rows = stratified_fraction(manifest, options.fraction, seed) if options.fraction < 1 else np.arange(len(manifest))
    samples = replace(samples, manifest=manifest)
    return samples.take(rows[manifest.take(rows).order()])


def _without_test(samples: Samples) -> Samples:
    """What cross-validation may use; a test split that is given stays for the end of all."""
    tests = samples.manifest.ids("test")
    if len(tests):
        note(f"The test split of {samples.name}, {len(tests):,} images, stays out of all folds.")
    return samples.take(np.delete(np.arange(len(samples.manifest)), tests))


def _read(options: DataOptions, seed: int) -> Samples:
    if not options.dataset:
        from keras_imgcls.data.readers.folder import read_folder

        return read_folder(options)
    if options.dataset.startswith(TFDS):
        from keras_imgcls.data.readers.tfds import read_tfds

        return read_tfds(options)
    return DATASETS.get(options.dataset)(options, seed)


def _require_classes(samples: Samples) -> None:
    manifest = samples.manifest
    present = np.unique(manifest.classes()[manifest.ids("train")])
    if not len(present):
        raise UserError(f"{samples.name} has no training images.")
    if len(present) == 1:
        only = manifest.class_names[present[0]]
        raise UserError(
            f"{samples.name} has training images of one class only, '{only}': a classifier takes two or more."
        )
    lacking = np.setdiff1d(manifest.classes(), present)
    if len(lacking):
        names = ", ".join(f"'{manifest.class_names[index]}'" for index in lacking)
        raise UserError(f"{samples.name} has classes to validate or test that training lacks: {names}.")


def _name_absent(manifest: Manifest, split: str) -> None:
    """Says which classes are too small to give one sample to a split that was drawn."""
    classes = manifest.classes()
    absent = np.setdiff1d(classes, classes[manifest.ids(split)])
    if len(absent):
        names = ", ".join(manifest.class_names[index] for index in absent[:10]) + (" …" if len(absent) > 10 else "")
        note(f"Too few images for a part in the {split} split: {len(absent)} of the classes ({names}).")
