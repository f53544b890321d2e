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


def boxes(spec, count=4000, height=40, width=30):
    """Height, width, top and left of what is erased in each image; zeros where nothing is."""
    erased = cutout(np.zeros((count, height, width, 1), np.uint8), spec)[..., 0] == 9
    rows, columns = erased.any(axis=2), erased.any(axis=1)
    assert np.array_equal(erased, rows[:, :, None] & columns[:, None])
    sizes = [side.sum(axis=1) for side in (rows, columns)]
    places = [side.argmax(axis=1) for side in (rows, columns)]
    for side, size, place in zip((rows, columns), sizes, places, strict=True):
        last = side.shape[1] - 1 - side[:, ::-1].argmax(axis=1)
        assert (last - place + 1 == size)[size > 0].all()  # in one piece
    return (*sizes, *places)


def test_random_erasing_fills_one_box_within_the_image():
    tall, wide, top, left = boxes("random_erasing(0.5, scale=(0.1, 0.3), ratio=(0.5, 2), fill=9)")
    assert abs((tall > 0).mean() - 0.5) < 0.04
    chosen = tall > 0
    area, ratio = (tall * wide / 1200)[chosen], tall[chosen] / wide[chosen]
    assert area.min() > 0.08 and area.max() < 0.33 and np.median(area) == pytest.approx(0.2, abs=0.01)
    assert ratio.min() > 0.43 and ratio.max() < 2.3 and np.median(np.log(ratio)) == pytest.approx(0, abs=0.06)
    assert top[chosen].min() == left[chosen].min() == 0
    assert (top + tall).max() == 40 and (left + wide).max() == 30


def test_a_box_as_large_as_the_image_covers_it():
    tall, wide, _, _ = boxes("random_erasing(1, scale=(1, 1), ratio=(1.3333, 1.3333), fill=9)", count=10)
    assert (tall == 40).all() and (wide == 30).all()


def test_grid_mask_fills_squares_at_a_regular_distance():
    erased = cutout(np.zeros((500, 60, 60, 1), np.uint8), "grid_mask(0.5, period=(0.2, 0.2), probability=1, fill=9)")
    erased = erased[..., 0] == 9
    assert np.array_equal(erased[:, :48, :48], erased[:, 12:, 12:])  # the period
    assert (erased.reshape(500, 5, 12, 5, 12).sum(axis=(2, 4)) == 36).all()  # squares of 6 x 6 in each
    assert np.abs(erased.mean(axis=0) - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 500)  # everywhere as often
    never = cutout(np.zeros((9, 60, 60, 1), np.uint8), "grid_mask(probability=0)")
    assert not never.any()
