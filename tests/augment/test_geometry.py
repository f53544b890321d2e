"""Geometry moves pixels as plain NumPy does sample by sample, however many operations become one gather."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_imgcls.augment import sequence
from keras_imgcls.augment.geometry import alternating_flip, flip, pad_crop
from keras_imgcls.augment.randomness import Draws, stream
from keras_imgcls.augment.view import View
from keras_imgcls.core.errors import UserError

SEED, EPOCH = 5, 2


def pixels(count=40, height=9, width=7, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def draws(count=40, operation=0, epoch=EPOCH):
    return Draws(stream(SEED, operation), tf.range(count, dtype=tf.int64), epoch)


def run(spec, images, epoch=EPOCH):
    ids = tf.range(len(images), dtype=tf.int64)
    return sequence.build(spec, SEED)(tf.constant(images), tf.zeros([len(images), 2]), ids, epoch)[0].numpy()


def pad_crop_reference(images, offsets, amount, **padding):
    """NumPy's padding and a slice, sample by sample."""
    result = []
    for image, (down, right) in zip(images, offsets + amount, strict=True):
        padded = np.pad(image, ((amount, amount), (amount, amount), (0, 0)), **padding)
        result.append(padded[down : down + image.shape[0], right : right + image.shape[1]])
    return np.stack(result)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("amount", [1, 4, 6])
def test_pad_crop_reflects_as_numpy_does(amount, channels):
    images = pixels(channels=channels)
    offsets = draws().integers(-amount, amount, 2).numpy()
    assert np.array_equal(
        run(f"pad_crop({amount})", images), pad_crop_reference(images, offsets, amount, mode="reflect")
    )


@pytest.mark.parametrize("amount", [2, 12])
def test_pad_crop_with_a_constant_as_numpy_does(amount):
    images = pixels()
    offsets = draws().integers(-amount, amount, 2).numpy()
    expected = pad_crop_reference(images, offsets, amount, mode="constant", constant_values=77)
    assert np.array_equal(run(f"pad_crop({amount}, mode='constant', fill=77)", images), expected)


def test_a_fill_may_be_a_colour():
    images, fill = pixels(), (10, 20, 30)
    offsets = draws().integers(-4, 4, 2).numpy()
    planes = [
        pad_crop_reference(images[..., c : c + 1], offsets, 4, mode="constant", constant_values=fill[c])
        for c in range(3)
    ]
    assert np.array_equal(run(f"pad_crop(4, 'constant', {fill})", images), np.concatenate(planes, axis=-1))


def test_flip_mirrors_the_samples_that_drew_it():
    images = pixels()
    mirrored = draws().uniform(1).numpy()[:, 0] < 0.3
    expected = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    assert np.array_equal(run("flip(0.3)", images), expected)
    assert 0 < mirrored.sum() < len(images)


def test_flip_with_certainty_and_never():
    images = pixels()
    assert np.array_equal(run("flip(1)", images), images[:, :, ::-1])
    assert np.array_equal(run("flip(0.0)", images), images)


def test_each_shift_and_each_side_is_equally_likely():
    count = 20_000
    shifts = np.bincount(draws(count).integers(-4, 4, 2).numpy()[:, 0] + 4, minlength=9)
    assert np.abs(shifts - count / 9).max() < 5 * np.sqrt(count / 9)
    places = np.broadcast_to(np.arange(2, dtype=np.uint8)[None, None, :, None], (count, 1, 2, 1))
    flipped = run("flip", places)[:, 0, 0, 0].sum()
    assert abs(flipped - count / 2) < 5 * np.sqrt(count / 4)


def test_alternating_flip_shows_both_sides_in_any_two_epochs():
    images = pixels(200)
    epochs = [run("alternating_flip", images, epoch) for epoch in range(4)]
    mirrored = np.array(
        [[np.array_equal(a, b[:, ::-1]) for a, b in zip(result, images, strict=True)] for result in epochs]
    )
    assert 60 < mirrored[0].sum() < 140
    for earlier, later in itertools.pairwise(mirrored):
        assert np.array_equal(later, ~earlier)
    assert np.array_equal(epochs[0], np.where(mirrored[0][:, None, None, None], images[:, :, ::-1], images))


@pytest.mark.parametrize(
    "steps",
    [
        [(pad_crop, {"pixels": 3}), (flip, {})],
        [(flip, {}), (pad_crop, {"pixels": 3}), (pad_crop, {"pixels": 2}), (alternating_flip, {})],
        [
            (pad_crop, {"pixels": 5, "mode": "constant", "fill": 9}),
            (pad_crop, {"pixels": 5, "mode": "constant", "fill": 9}),
        ],
        [
            (pad_crop, {"pixels": 5, "mode": "constant", "fill": 9}),
            (pad_crop, {"pixels": 5, "mode": "constant", "fill": 200}),
        ],
        [(pad_crop, {"pixels": 5, "mode": "constant"}), (flip, {}), (pad_crop, {"pixels": 6})],
        [
            (pad_crop, {"pixels": 6}),
            (pad_crop, {"pixels": 9, "mode": "constant", "fill": 1}),
            (pad_crop, {"pixels": 4}),
        ],
    ],
    ids=lambda steps: "|".join(step.__name__ for step, _ in steps),
)
def test_one_gather_equals_operations_one_by_one(steps):
    images = tf.constant(pixels())
    together, alone = View(images), images
    for number, (operation, arguments) in enumerate(steps):
        together = operation(together, draws(operation=number), **arguments)
        alone = operation(View(alone), draws(operation=number), **arguments).pixels()
    assert np.array_equal(together.pixels(), alone)


def test_a_sequence_of_geometry_is_one_gather():
    augment = sequence.build("pad_crop(4)|flip|pad_crop(1)|alternating_flip", 0)
    image = tf.TensorSpec([None, 32, 32, 3], tf.uint8)
    labels, ids = tf.TensorSpec([None, 10]), tf.TensorSpec([None], tf.int64)
    graph = tf.function(augment).get_concrete_function(image, labels, ids, tf.TensorSpec([], tf.int64)).graph
    assert [operation.type for operation in graph.get_operations()].count("GatherNd") == 1


def test_real_images(shared_data):
    photos = sorted((shared_data("flowers") / "val").glob("*/*.jpg"))[:20]
    images = np.stack([np.asarray(Image.open(photo).convert("RGB").resize((64, 48))) for photo in photos])
    offsets = draws(len(images)).integers(-4, 4, 2).numpy()
    mirrored = draws(len(images), operation=1).uniform(1).numpy()[:, 0] < 0.5
    shifted = pad_crop_reference(images, offsets, 4, mode="reflect")
    expected = np.where(mirrored[:, None, None, None], shifted[:, :, ::-1], shifted)
    assert np.array_equal(run("pad_crop(4)|flip", images), expected)


def test_a_reflected_padding_as_large_as_the_image_is_refused():
    message = "pad_crop's pixels is below height and width (9 x 7) where it reflects; received 7."
    with pytest.raises(UserError, match=re.escape(message)):
        run("pad_crop(7)", pixels())


def test_a_colour_for_grey_images_is_refused():
    with pytest.raises(UserError, match="A fill of 3 levels needs images of as many channels; received 1"):
        run("pad_crop(2, 'constant', (1, 2, 3))", pixels(channels=1))
