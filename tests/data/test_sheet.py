"""A sheet shows every image whole and in its place."""

import numpy as np
import pytest

from keras_imgcls.data import sheet


def tiles(drawn, height, width, columns, count):
    line = sheet.GAP + height + sheet.TEXT + 3
    for number in range(count):
        left, top = sheet.GAP + number % columns * (width + sheet.GAP), sheet.GAP + number // columns * line
        yield drawn[top : top + height, left : left + width]


@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_are_enlarged_by_a_whole_factor(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, channels), dtype=np.uint8)
    drawn = sheet.draw(images, list("abcde"))
    assert drawn.dtype == np.uint8 and drawn.shape[-1] == 3
    for tile, image in zip(tiles(drawn, 96, 72, 3, 5), images, strict=True):
        assert np.array_equal(tile[::12, ::12], np.broadcast_to(image, (8, 6, 3)))


def test_large_images_are_reduced():
    drawn = sheet.draw(np.full((2, 500, 1000, 3), 90, np.uint8), ["a", "b"])
    for tile in tiles(drawn, 96, 192, 2, 2):
        assert (tile == 90).all()


def test_captions_are_written_below_their_image_and_not_over_the_next():
    images = np.full((2, 96, 96, 3), 200, np.uint8)
    drawn = sheet.draw(images, ["a very long name of a class that fits nowhere", ""])
    below = drawn[sheet.GAP + 96 : -sheet.GAP]
    assert below[:, sheet.GAP : sheet.GAP + 96].min() < 100
    assert (below[:, sheet.GAP + 96 :] == 255).all()


def test_as_many_captions_as_images():
    with pytest.raises(ValueError, match="zip"):
        sheet.draw(np.zeros((2, 8, 8, 1), np.uint8), ["a"])
