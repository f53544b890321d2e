"""Held out: the images that a trained model is judged on, chosen by what its run recorded, never split anew."""

import csv
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_imgcls.core import config as config_module
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.data import pipeline, readers
from keras_imgcls.data.manifest import SPLITS, join_by_name
from keras_imgcls.data.samples import Samples
from keras_imgcls.data.store import open_store


def own_samples(run: Run, split: str, on_bad_image: str = "error") -> tuple[Samples, np.ndarray]:
    """The data that `run` was trained on, and the ids of the images that its `manifest.csv` puts in `split`.

    A split is never drawn anew: with an image more or less in the folder it would be another one, and images that the
    model was trained on would count as held out.

    Raises:
        UserError: the run has no such split, or images of it are gone, unreadable or labelled otherwise by now.
    """
    recorded = _recorded(run, split)
    samples = _load(run, fraction=1.0, on_bad_image=_stricter(run.config.on_bad_image, on_bad_image))
    excluded = {source for source, _ in samples.excluded}
    rows = {source: row for row, source in enumerate(samples.manifest.sources)}
    gone = [source for source in recorded if source not in rows and source not in excluded]
    if gone:
        raise UserError(
            f"{len(gone):,} of the {len(recorded):,} {split} images of {run.path} "
            f"are no longer in {samples.name}: {gone[0]} …"
        )
    ids = np.array([rows[source] for source in recorded if source in rows], np.int64)
    names = np.array(samples.manifest.class_names)[samples.manifest.classes()]
    for row in ids:
        source = samples.manifest.sources[row]
        if names[row] != recorded[source]:
            raise UserError(
                f"{source} was '{recorded[source]}' when {run.path} was trained, and is '{names[row]}' now."
            )
    return _joined(run, samples), ids


def other_samples(
    run: Run, dataset: str, data_dir: str, split: str, on_bad_image: str = "error"
) -> tuple[Samples, np.ndarray, str]:
    """Another dataset, its classes joined by name, the ids of its images in `split`, and what they are called.

    A dataset without splits is taken whole, whatever `split` says: none of it was trained on.

    Raises:
        UserError: the data can't be read, has a class that the model doesn't know, or has splits but not this one.
    """
    samples = _load(
        run,
        dataset=dataset,
        data_dir=data_dir,
        fraction=1.0,
        test_fraction=0.0,
        validation_fraction=0.0,
        group_by="",
        folds=0,
        fold=0,
        on_bad_image=on_bad_image,
    )
    present = [name for name in SPLITS if len(samples.manifest.ids(name))]
    if present == ["train"]:
        return _joined(run, samples), samples.manifest.ids("train"), "all"
    if split not in present:
        raise UserError(f"{samples.name} has no {split} split; it has: {', '.join(present)}. Choose with --split.")
    return _joined(run, samples), samples.manifest.ids(split), split


def batches(run: Run, samples: Samples, ids: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """`(images, labels, ids)` of the samples `ids`, as the model of `run` sees them; decoded once, kept nowhere."""
    config = config_module.replace(run.config, cache="none")
    store = open_store(samples, config, config.image_size, config.channels)
    return pipeline.batches(store, samples.manifest, ids, batch_size)


def is_own(run: Run, dataset: str, data_dir: str) -> bool:
    """Whether these options name the data that `run` was trained on."""
    own = run.config
    same_place = not data_dir or (bool(own.data_dir) and Path(data_dir).resolve() == Path(own.data_dir).resolve())
    return same_place and (dataset == own.dataset or not dataset)


def seen_in_training(run: Run, samples: Samples, ids: np.ndarray) -> int:
    """How many of the samples `ids` are, by their place or by their source alone, images that `run` was trained on."""
    if not run.manifest.is_file():  # a model that was trained from Python
        return 0
    trained, sources = set(_recorded(run, "train")), samples.manifest.sources[ids].tolist()
    if not samples.root:
        return sum(source in trained for source in sources)
    places = {Path(run.config.data_dir, source).resolve() for source in trained}
    return sum(source in trained or Path(samples.root, source).resolve() in places for source in sources)


def recorded_splits(run: Run) -> list[str]:
    """The splits in `RUN/manifest.csv`, in the order train, validation, test."""
    present = {row["split"] for row in _manifest_rows(run)}
    return [name for name in SPLITS if name in present]


def _load(run: Run, **changes: object) -> Samples:
    config = config_module.replace(run.config, cache="none", **changes)
    return readers.load(config, run.config.seed, training=False)


def _joined(run: Run, samples: Samples) -> Samples:
    return config_module.replace(samples, manifest=join_by_name(samples.manifest, tuple(run.class_names)))


def _stricter(*policies: str) -> str:
    return "exclude" if "exclude" in policies else "error"


def _recorded(run: Run, split: str) -> dict[str, str]:
    """Source to label of the samples of `split`, in the order of the run's manifest."""
    recorded = {row["source"]: row["label"] for row in _manifest_rows(run) if row["split"] == split}
    if not recorded:
        present = recorded_splits(run)
        raise UserError(
            f"{run.path} has no {split} split; it has: {', '.join(present)}. Choose with --split={present[-1]}."
        )
    return recorded


def _manifest_rows(run: Run) -> list[dict[str, str]]:
    try:
        with open(run.manifest, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f"{run.manifest} can't be read: {error.strerror}. Name data with --data_dir or --dataset."
        ) from error
