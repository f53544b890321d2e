"""Views at test time: which there are, and that nothing but the image and its id decides them."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment import test_time

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
IDS = np.arange(6) + 40


def views(spec, count=4, images=IMAGES, ids=IDS):
    built = test_time.build(spec, count, 3)
    return built.weights, [np.asarray(view) for view in built.of(tf.constant(images), tf.constant(ids))]


def test_none_is_none():
    assert test_time.build("none", 4, 0) is None


def test_mirror_is_the_image_and_its_mirror_image():
    weights, (plain, mirrored) = views("mirror")
    assert weights == (0.5, 0.5)
    assert np.array_equal(plain, IMAGES) and np.array_equal(mirrored, IMAGES[:, :, ::-1])


def test_mirror_shift_is_the_six_views_of_the_speed_runs():
    """Against padding by reflection and slicing, as the published code does it."""
    weights, seen = views("mirror_shift")
    assert sum(weights) == 1 and len(seen) == 6
    expected = []
    for shift, weight in ((0, 0.25), (-1, 0.125), (1, 0.125)):
        for images in (IMAGES, IMAGES[:, :, ::-1]):
            padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
            part = slice(1 + shift, 9 + shift)
            expected.append((weight, padded[:, part, part].tobytes()))
    assert sorted(zip(weights, [view.tobytes() for view in seen], strict=True)) == sorted(expected)


def test_a_sequence_is_drawn_anew_for_each_view_and_the_same_in_every_batch():
    weights, seen = views("pad_crop(2)|flip", count=5)
    assert weights == (0.2,) * 5 and len({view.tobytes() for view in seen}) == 5
    _, again = views("pad_crop(2)|flip", count=5, images=IMAGES[3:], ids=IDS[3:])
    assert all(np.array_equal(view[3:], part) for view, part in zip(seen, again, strict=True))


def test_alternating_flip_twice_is_mirror():
    _, seen = views("alternating_flip", count=2)
    _, expected = views("mirror")
    for number in range(6):
        assert {view[number].tobytes() for view in seen} == {view[number].tobytes() for view in expected}


@pytest.mark.parametrize("spec", ["mirror", "mirror_shift", "pad_crop(2)"])
def test_weights_sum_to_one(spec):
    assert sum(views(spec, count=3)[0]) == pytest.approx(1)
