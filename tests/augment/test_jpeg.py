"""JPEG artefacts are those of libjpeg, but for coefficients whose rounding its integer arithmetic decides otherwise."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_imgcls.augment import jpeg, sequence


def pictures(shape, count=8):
    height, width, channels = shape
    coarse = np.random.default_rng(0).integers(0, 256, (count, 9, 7, 3), dtype=np.uint8)
    images = np.stack([np.asarray(Image.fromarray(image).resize((width, height), Image.BICUBIC)) for image in coarse])
    return images[..., :channels]


def by_pillow(image, quality):
    contents = io.BytesIO()
    colour = {"subsampling": "4:2:0"} if image.shape[-1] == 3 else {}
    Image.fromarray(image.squeeze()).save(contents, "JPEG", quality=quality, **colour)
    return np.asarray(Image.open(contents)).reshape(image.shape)


@pytest.mark.parametrize("shape", [(64, 96, 3), (37, 51, 3), (64, 96, 1), (37, 51, 1)], ids=str)
@pytest.mark.parametrize("quality", [5, 50, 75, 100])
def test_it_is_the_compression_of_libjpeg(shape, quality):
    images = pictures(shape)
    expected = np.stack([by_pillow(image, quality) for image in images]).astype(int)
    ours = jpeg.compressed(tf.constant(images), tf.fill([len(images)], quality)).numpy()
    left = np.abs(ours - expected)
    assert left.mean() < 0.1 + 0.1 * np.abs(images - expected).mean()
    if shape[-1] == 1:
        assert (left <= 1).mean() > 0.94


def test_each_sample_has_its_own_quality():
    images = tf.constant(pictures((32, 32, 3)))
    qualities = tf.constant([5, 30, 49, 50, 51, 75, 95, 100])
    together = jpeg.compressed(images, qualities)
    for number in range(8):
        alone = jpeg.compressed(images[number : number + 1], qualities[number : number + 1])
        assert np.array_equal(together[number], alone[0])


def test_lower_quality_loses_more():
    images = pictures((64, 64, 3), 1)
    losses = [
        np.abs(sequence.build(f"jpeg(({quality}, {quality}), 1)", 0)(tf.constant(images), tf.zeros([1, 2]), [0], 0)[0]
               - images.astype(float)).mean()
        for quality in (5, 20, 50, 90)
    ]  # fmt: skip
    assert losses == sorted(losses, reverse=True) and losses[-1] > 0
