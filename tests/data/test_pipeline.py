"""The pipeline hands over what was asked for, in that order, under any parallelism."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment import sequence
from keras_imgcls.core.errors import UserError
from keras_imgcls.data import pipeline
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.order import epoch_order

COUNT = 50
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 9, 3), dtype=np.uint8)
CLASSES = np.arange(COUNT) % 3
MANIFEST = Manifest(np.arange(COUNT).astype(str), one_hot(CLASSES, 3), np.full(COUNT, "train"), ("a", "b", "c"))


class ArrayStore:
    """A store over an array, with as many parallel calls as it is told."""

    shape = IMAGES.shape[1:]

    def __init__(self, workers=None):
        self.workers = workers

    def dataset(self, ids, batch_size, drop_remainder=False):
        dataset = tf.data.Dataset.from_tensor_slices(ids).batch(batch_size, drop_remainder)
        return dataset.map(lambda rows: (tf.gather(IMAGES, rows), rows), num_parallel_calls=self.workers)


def gathered(ids, batch_size, augment=None, epoch=0, workers=None, **options):
    parts = list(
        pipeline.batches(ArrayStore(workers), MANIFEST, ids, batch_size, augment, epoch, **options).as_numpy_iterator()
    )
    return [np.concatenate(column) for column in zip(*parts, strict=True)], [len(part[0]) for part in parts]


def test_batches_hold_pixels_labels_and_ids_in_the_order_asked_for():
    ids = epoch_order(np.arange(COUNT), 1, 0)
    (images, labels, rows), sizes = gathered(ids, 16)
    assert sizes == [16, 16, 16, 2]
    assert np.array_equal(rows, ids) and rows.dtype == np.int64
    assert np.array_equal(images, IMAGES[ids]) and images.dtype == np.uint8
    assert np.array_equal(labels, MANIFEST.labels[ids]) and labels.dtype == np.float32


def test_a_smaller_last_batch_is_left_out_on_demand():
    (images, _, rows), sizes = gathered(np.arange(COUNT), 16, drop_remainder=True)
    assert sizes == [16, 16, 16] and rows.tolist() == list(range(48)) and len(images) == 48


def test_a_sample_may_come_twice_or_never():
    ids = np.array([7, 7, 3])
    (images, _, rows), _ = gathered(ids, 2)
    assert rows.tolist() == [7, 7, 3] and np.array_equal(images, IMAGES[ids])


@pytest.mark.parametrize("workers", [1, 2, 8, tf.data.AUTOTUNE])
@pytest.mark.parametrize("batch_size", [1, 16, 50])
def test_augmented_pixels_depend_on_neither_batch_size_nor_parallelism(batch_size, workers):
    augment, ids = sequence.build("pad_crop(2)|flip|cutout(3)", 5), epoch_order(np.arange(COUNT), 5, 3)
    expected, _ = augment(IMAGES[ids], MANIFEST.labels[ids], ids, 3)
    (images, _, rows), _ = gathered(ids, batch_size, augment, 3, workers)
    assert np.array_equal(rows, ids) and np.array_equal(images, expected)


def test_the_rest_of_an_epoch_is_the_end_of_the_whole_one():
    augment, ids = sequence.build("pad_crop(2)|flip", 5), epoch_order(np.arange(COUNT), 5, 3)
    (whole, _, _), _ = gathered(ids, 8, augment, 3)
    (rest, _, _), _ = gathered(ids[24:], 8, augment, 3)
    assert np.array_equal(rest, whole[24:])


def test_augmentation_is_traced_once_for_all_epochs():
    seen = []

    def augment(images, labels, ids, epoch):
        seen.append(epoch)
        return images + tf.cast(epoch, tf.uint8), labels

    for epoch in range(4):
        (images, _, _), _ = gathered(np.arange(COUNT), 16, augment, epoch)
        assert np.array_equal(images, IMAGES + np.uint8(epoch))
    assert len(seen) == 1


def test_what_does_not_fit_the_images_is_told():
    with pytest.raises(UserError, match=r"^pad_crop's pixels is below height and width \(8 x 9\)"):
        pipeline.batches(ArrayStore(), MANIFEST, np.arange(COUNT), 16, sequence.build("pad_crop(8)", 0))


def test_augmentation_may_change_labels():
    (_, labels, _), _ = gathered(np.arange(COUNT), 16, lambda images, labels, ids, epoch: (images, labels * 0.5))
    assert np.array_equal(labels, MANIFEST.labels * 0.5)


def test_shapes_are_known_in_advance():
    images, labels, ids = pipeline.batches(ArrayStore(), MANIFEST, np.arange(COUNT), 16).element_spec
    assert (
        images.shape.as_list() == [None, 8, 9, 3]
        and labels.shape.as_list() == [None, 3]
        and ids.shape.as_list() == [None]
    )


def test_an_iterator_is_let_go_at_once():
    """With its tuner, tf.data waits for seconds."""
    batches = pipeline.batches(ArrayStore(tf.data.AUTOTUNE), MANIFEST, np.arange(COUNT), 2)
    assert batches.options().autotune.enabled is False
