"""Fine-tuning before export sees the run's own training images, as training saw them, and no other."""

import csv

import numpy as np
import pytest

from keras_imgcls.core import files
from keras_imgcls.core.errors import UserError
from keras_imgcls.data import readers
from keras_imgcls.evaluation import held_out
from keras_imgcls.export.lesson import lesson
from tests.inference.tiny import make_run


def run_of(path, **options):
    run = make_run(path, names=tuple("0123456789"), batch_size=50, **options)
    readers.load(run.config, run.config.seed).manifest.write(run.manifest)
    return run


def epoch(feed, number=0):
    """Images, labels and ids of an epoch."""
    return [np.concatenate(parts) for parts in zip(*feed.batches(number, 0).as_numpy_iterator(), strict=True)]


def test_an_epoch_holds_training_images_with_their_labels(tmp_path):
    run = run_of(tmp_path / "run", augment="none", fraction=0.5)
    taught = lesson(run)
    data, training = held_out.own_samples(run, "train")
    images, labels, ids = epoch(taught.feed)
    assert len(set(ids.tolist())) == len(ids) == taught.feed.images == len(training) // 50 * 50
    assert set(ids.tolist()) <= set(training.tolist())
    np.testing.assert_array_equal(images, data.images[ids])
    np.testing.assert_array_equal(labels.argmax(axis=1), data.manifest.classes()[ids])
    assert not np.array_equal(ids, epoch(taught.feed, 1)[2])


@pytest.mark.parametrize("where", ["host", "device"])
def test_augmentation_is_the_run_s_own_wherever_it_runs(tmp_path, where):
    """The same pixels: by the feed, or by the step that is handed the augmentation."""
    plain = epoch(lesson(run_of(tmp_path / "plain", augment="none")).feed)
    taught = lesson(run_of(tmp_path / "run", augment="flip", augment_on=where))
    assert (taught.augment is None) == (where == "host")
    images, _, ids = epoch(taught.feed)
    if where == "device":
        np.testing.assert_array_equal(images, plain[0])
        images = np.asarray(taught.augment(*plain, 0)[0])
    np.testing.assert_array_equal(ids, plain[2])
    flipped = np.array([not np.array_equal(*pair) for pair in zip(images, plain[0], strict=True)])
    assert 0.3 < flipped.mean() < 0.7
    np.testing.assert_array_equal(images[flipped], plain[0][flipped, :, ::-1])


def test_an_image_that_is_gone_is_an_error(tmp_path):
    run = run_of(tmp_path / "run", augment="none")
    with open(run.manifest, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    next(row for row in rows if row["split"] == "train")["source"] = "gone"
    files.write_csv(run.manifest, tuple(rows[0]), [tuple(row.values()) for row in rows])
    with pytest.raises(UserError, match="1 of the .* train images of .* are no longer in digits: gone"):
        lesson(run)
