"""Erasing fills exactly the square that was drawn."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment import sequence
from keras_imgcls.augment.randomness import Draws, stream


def cutout(images, spec):
    ids = tf.range(len(images), dtype=tf.int64)
    return sequence.build(spec, 0)(tf.constant(images), tf.zeros([len(images), 2]), ids, 0)[0].numpy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_cutout_fills_a_square_that_may_hang_over_the_border(size, channels):
    images = np.random.default_rng(0).integers(0, 100, (50, 9, 12, channels), dtype=np.uint8)
    expected = images.copy()
    centres = Draws(stream(0, 0), tf.range(50, dtype=tf.int64), 0).integers(0, (8, 11), 2).numpy()
    for image, (row, column) in zip(expected, centres, strict=True):
        top, left = row - size // 2, column - size // 2
        image[max(top, 0) : top + size, max(left, 0) : left + size] = 201
    assert np.array_equal(cutout(images, f"cutout({size}, fill=201)"), expected)


def test_cutout_fills_with_a_colour():
    result = cutout(np.zeros((5, 8, 8, 3), np.uint8), "cutout(3, fill=(125, 123, 114))")
    assert {tuple(pixel) for pixel in result.reshape(-1, 3)} == {(0, 0, 0), (125, 123, 114)}


def test_the_centre_is_uniform_over_the_image():
    count = 30_000
    erased = cutout(np.zeros((count, 4, 6, 1), np.uint8), "cutout(1, fill=1)").sum(axis=0)
    assert erased.sum() == count
    assert np.abs(erased - count / 24).max() < 5 * np.sqrt(count / 24)
