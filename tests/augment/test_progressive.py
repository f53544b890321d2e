"""Progressive resizing: which size in which epoch, and pixels as the one resize makes them."""

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_imgcls.augment import progressive, sequence

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
LABELS, IDS = tf.zeros([4, 2]), tf.range(4, dtype=tf.int64)


def sizes(augment_of, epochs):
    """The height of the images in each epoch."""
    images = tf.constant(IMAGES)
    augments = [augment_of(epoch) for epoch in epochs]
    return [(augment(images, LABELS, IDS, 0)[0] if augment else images).shape[1] for augment in augments]


def test_each_epoch_has_its_size_and_the_first_ones_their_own():
    assert sizes(progressive.by_epoch(None, [(1, 8), (3, 16)]), range(5)) == [24, 8, 8, 16, 16]
    assert sizes(progressive.by_epoch(None, []), range(2)) == [24, 24]


def test_images_are_resized_before_they_are_augmented():
    pad_crop = sequence.build("pad_crop(2)", 0)
    small = progressive.reduced(None, 12)(tf.constant(IMAGES), LABELS, IDS, 3)[0]
    expected = pad_crop(small, LABELS, IDS, 3)[0]
    assert np.array_equal(progressive.reduced(pad_crop, 12)(tf.constant(IMAGES), LABELS, IDS, 3)[0], expected)
    assert progressive.reduced(pad_crop, 12) is progressive.reduced(pad_crop, 12)  # or each epoch is traced anew


def test_the_resize_is_pillows_bilinear_one():
    small = progressive.reduced(None, 12)(tf.constant(IMAGES), LABELS, IDS, 0)[0].numpy().astype(int)
    expected = np.stack([np.asarray(Image.fromarray(image).resize((12, 12), Image.BILINEAR)) for image in IMAGES])
    assert np.abs(small - expected).max() <= 1
