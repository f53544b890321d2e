"""Colour operations draw what they say; what has no counterpart in Pillow is held against another reference."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from keras_imgcls.augment import colour, sequence
from keras_imgcls.augment.randomness import Draws, stream

COUNT = 60
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 14, 11, 3), dtype=np.uint8)


def run(spec, images=IMAGES):
    ids = tf.range(len(images), dtype=tf.int64)
    return sequence.build(spec, 0)(tf.constant(images), tf.zeros([len(images), 2]), ids, 0)[0].numpy()


def uniform(count=1, samples=COUNT):
    return Draws(stream(0, 0), tf.range(samples, dtype=tf.int64), 0).uniform(count).numpy().astype(np.float64)


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [("brightness", "Brightness"), ("contrast", "Contrast"), ("saturation", "Color"), ("sharpness", "Sharpness")],
)
@pytest.mark.parametrize(("amount", "low"), [(0.6, 0.4), (1.5, 0.0)])
def test_factors_are_drawn_around_one(name, enhancer, amount, low):
    factors = low + (1 + amount - low) * uniform()[:, 0]
    expected = [
        np.asarray(getattr(ImageEnhance, enhancer)(Image.fromarray(image)).enhance(factor))
        for image, factor in zip(IMAGES, factors, strict=True)
    ]
    assert np.abs(run(f"{name}({amount})").astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("spec", "operation"),
    [
        ("invert(0.4)", ImageOps.invert),
        ("autocontrast(0.4)", ImageOps.autocontrast),
        ("equalize(0.4)", ImageOps.equalize),
        ("solarize(100, 0.4)", lambda image: ImageOps.solarize(image, 100)),
        ("posterize(3, 0.4)", lambda image: ImageOps.posterize(image, 3)),
        ("grey(0.4)", lambda image: image.convert("L").convert("RGB")),
    ],
)
def test_some_samples_are_changed_and_the_others_are_left_alone(spec, operation):
    chosen = uniform()[:, 0] < 0.4
    expected = np.stack([np.asarray(operation(Image.fromarray(image))) for image in IMAGES])
    difference = run(spec).astype(int) - np.where(chosen[:, None, None, None], expected, IMAGES)
    assert np.abs(difference).max() <= int(spec.startswith("autocontrast"))
    assert 0 < chosen.sum() < COUNT


def test_hue_is_turned_as_colorsys_does():
    turns = 0.3 * (2 * uniform()[:, 0] - 1)

    def turned(pixel, turn):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)

    expected = [
        [turned(pixel, turn) for pixel in image.reshape(-1, 3).astype(float)]
        for image, turn in zip(IMAGES, turns, strict=True)
    ]
    assert np.abs(run("hue(0.3)") - np.reshape(expected, IMAGES.shape)).max() < 0.51


@pytest.mark.parametrize("spec", ["saturation(0.9)", "hue(0.5)", "grey(1)"])
def test_grey_images_have_no_colour_to_change(spec):
    assert np.array_equal(run(spec, IMAGES[..., :1]), IMAGES[..., :1])


def test_blur_is_gaussian():
    numbers = uniform(2)
    expected = IMAGES.astype(np.float64)
    for image, (share, coin) in zip(expected, numbers, strict=True):
        if coin < 0.7:
            for channel in range(3):
                image[..., channel] = ndimage.gaussian_filter(image[..., channel], 2 * share, mode="nearest", radius=6)
    assert np.abs(run("blur(2, 0.7)") - expected).max() < 0.51


def test_noise_is_normal_and_unlike_in_all_pixels():
    flat = np.full((40, 30, 30, 3), 128, np.uint8)
    noise = run("noise(20)", flat).astype(np.float64) - 128
    deviations = 20 * uniform(samples=40)[:, 0]
    expected = np.sqrt(deviations**2 + 1 / 12)  # levels are rounded, which is more noise, alike from 1 level on
    strong = deviations > 1
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3))[strong], expected[strong], rtol=5 / np.sqrt(2 * 2700))
    strong = noise[deviations > 10] / deviations[deviations > 10][:, None, None, None]
    assert abs(strong.mean()) < 5 / np.sqrt(strong.size)
    assert (np.abs(strong) > 2).mean() == pytest.approx(0.0455, abs=0.005)
    flattened = strong.reshape(len(strong), -1)
    assert np.abs(np.corrcoef(flattened) - np.eye(len(flattened))).max() < 6 / np.sqrt(2700)
    assert abs(np.corrcoef(flattened[:, :-1].ravel(), flattened[:, 1:].ravel())[0, 1]) < 5 / np.sqrt(strong.size)


def test_factors_are_the_same_however_they_are_compiled():
    """A product and a sum that are rounded once would give every four-thousandth sample another factor."""
    ids = tf.range(200_000, dtype=tf.int64)

    def factors(ids):
        return colour._factors(Draws(stream(1, 2), ids, 0), 0.4)

    expected = factors(ids).numpy()
    assert np.array_equal(tf.function(factors, jit_compile=True)(ids), expected)
    assert (expected.min(), expected.max()) == (pytest.approx(0.6, abs=2**-12), pytest.approx(1.4, abs=2**-12))
    assert expected.mean() == pytest.approx(1, abs=0.002)
