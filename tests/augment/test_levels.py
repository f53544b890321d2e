"""Grey levels are those of Pillow, operation by operation, on real images and on awkward ones."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from keras_imgcls.augment import levels

FACTORS = (0.0, 0.125, 2200 / 4096, 1.0, 1.3125, 7777 / 4096)  # multiples of 2^-12, which float32 multiplies exactly


def awkward():
    """One level only, two levels, few, a ramp, and noise of little and of all contrast."""
    generator = np.random.default_rng(0)
    ramp = np.broadcast_to(np.arange(30, dtype=np.uint8)[None, :, None] * 8, (20, 30, 3))
    return [
        np.full((20, 30, 3), 93, np.uint8),
        np.where(ramp > 100, 200, 17).astype(np.uint8),
        ramp // 64 * 64,
        ramp,
        generator.integers(100, 120, (20, 30, 3)),
        generator.integers(0, 256, (20, 30, 3)),
    ]


@pytest.fixture(scope="module", params=["awkward", "photos"])
def images(request):
    if request.param == "awkward":
        return np.stack(awkward()).astype(np.uint8)
    photos = sorted((request.getfixturevalue("shared_data")("flowers") / "val").glob("*/*.jpg"))[::4]
    return np.stack([np.asarray(Image.open(photo).convert("RGB").resize((90, 70))) for photo in photos])


def enhance(name):
    return lambda image, factor: getattr(ImageEnhance, name)(image).enhance(factor)


CASES = [
    ("brightened", enhance("Brightness"), FACTORS),
    ("contrasted", enhance("Contrast"), FACTORS),
    ("saturated", enhance("Color"), FACTORS),
    ("sharpened", enhance("Sharpness"), FACTORS),
    ("solarized", ImageOps.solarize, (0, 1, 77, 128, 255, 256)),
    ("posterized", ImageOps.posterize, (1, 2, 3, 5, 8)),
    ("inverted", ImageOps.invert, ()),
    ("autocontrasted", ImageOps.autocontrast, ()),
    ("equalized", ImageOps.equalize, ()),
]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("name", "pillow", "numbers"), CASES, ids=[name for name, _, _ in CASES])
def test_levels_are_those_of_pillow(images, mode, name, pillow, numbers):
    pictures = [Image.fromarray(image).convert(mode) for image in images]
    batch = np.stack([np.asarray(picture).reshape(*images.shape[1:3], -1) for picture in pictures])
    for number in numbers or [()]:
        given = [] if number == () else [number]
        ours = getattr(levels, name)(tf.constant(batch), *(np.full(len(batch), value) for value in given)).numpy()
        expected = np.stack([np.asarray(pillow(picture, *given)) for picture in pictures]).reshape(batch.shape)
        # Pillow's autocontrast adds in floating point and then drops the fraction: a level where ours is exact.
        assert np.abs(ours.astype(int) - expected).max() <= int(name == "autocontrasted")


@pytest.mark.parametrize(("name", "pillow", "numbers"), CASES[:4], ids=[name for name, _, _ in CASES[:4]])
def test_any_factor_is_within_a_level(images, name, pillow, numbers):
    for factor in (0.1, 0.7, 1.9):
        ours = getattr(levels, name)(tf.constant(images), np.full(len(images), factor)).numpy().astype(int)
        assert np.abs(ours - [np.asarray(pillow(Image.fromarray(image), factor)) for image in images]).max() <= 1


def test_each_sample_has_its_own_factor(images):
    factors = np.linspace(0, 2, len(images))
    for name in ("brightened", "contrasted", "saturated", "sharpened"):
        operation = getattr(levels, name)
        together = operation(tf.constant(images), factors).numpy()
        alone = [operation(tf.constant(images[i : i + 1]), factors[i : i + 1])[0] for i in range(len(images))]
        assert np.array_equal(together, alone)


def test_one_image_alone_keeps_its_channels_apart(images):
    for name in ("autocontrasted", "equalized"):
        operation = getattr(levels, name)
        assert np.array_equal(operation(tf.constant(images[-1:]))[0], operation(tf.constant(images))[-1])


def test_grey_is_that_of_pillow(images):
    expected = [np.asarray(Image.fromarray(image).convert("L"))[..., None] for image in images]
    assert np.array_equal(levels.grey(tf.constant(images)), expected)
