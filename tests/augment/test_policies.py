"""Policies: every operation is Pillow's at the published strength, and each sample goes through its own."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from keras_imgcls.augment import policies, sequence
from keras_imgcls.augment.randomness import Draws, stream

SIZE = 36


def pictures(count=20):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.BICUBIC)) for image in coarse])


def draws(count, operation=0):
    return Draws(stream(0, operation), tf.range(count, dtype=tf.int64), 0)


def affine(*matrix):
    return lambda image, m: image.transform(
        image.size, Image.AFFINE, [entry(m) if callable(entry) else entry for entry in matrix], Image.BILINEAR,
        fillcolor=(128,) * 3,
    )  # fmt: skip


def strength(m):
    return m


PILLOW = {
    "identity": lambda image, m: image,
    "shear_x": affine(1, strength, 0, 0, 1, 0),
    "shear_y": affine(1, 0, 0, strength, 1, 0),
    "translate_x": affine(1, 0, strength, 0, 1, 0),
    "translate_y": affine(1, 0, 0, 0, 1, strength),
    "rotate": lambda image, m: image.rotate(m, Image.BILINEAR, fillcolor=(128,) * 3),
    "brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "saturation": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarize": lambda image, m: ImageOps.solarize(image, m),
    "autocontrast": lambda image, m: ImageOps.autocontrast(image),
    "equalize": lambda image, m: ImageOps.equalize(image),
    "invert": lambda image, m: ImageOps.invert(image),
}


@pytest.mark.parametrize("wide", [False, True], ids=["standard", "wide"])
@pytest.mark.parametrize("name", policies.OPERATIONS)
def test_an_operation_is_that_of_pillow(name, wide):
    """At every magnitude, with the sign that was drawn."""
    images, place = pictures(), policies.OPERATIONS.index(name)
    strengths = policies.ranges(name, len(images), images.shape, wide).astype(np.float32)
    chosen = tf.fill([len(images)], place)
    ours = policies.applied(tf.constant(images), draws(len(images)), chosen, tf.constant(strengths), 128, "bilinear")
    negative = draws(len(images)).uniform(1).numpy()[:, 0] < 0.5
    signed = np.where(negative & policies.SIGNED[place], -strengths, strengths)
    if name == "rotate":
        signed = -signed  # Pillow turns the other way for positive numbers
    expected = [PILLOW[name](Image.fromarray(image), float(m)) for image, m in zip(images, signed, strict=True)]
    difference = np.abs(ours.numpy().astype(int) - np.stack([np.asarray(image) for image in expected])).max(axis=-1)
    if name in policies.AFFINE:  # a pixel whose centre is on the very rim may be filled or not
        assert (difference > 2).mean() < 0.02
    else:
        assert difference.max() <= 1


def test_strengths_are_the_published_ones():
    """Ends of the ranges as torchvision's transforms have them, for images of 331 pixels."""
    shape = (None, 331, 331, 3)
    ends = {name: policies.ranges(name, 31, shape)[[0, 9, -1]].round(6).tolist() for name in policies.OPERATIONS}
    assert ends["shear_x"] == ends["shear_y"] == [0, 0.09, 0.3]
    assert ends["translate_x"] == ends["translate_y"] == [0, 45, 150]
    assert ends["rotate"] == [0, 9, 30]
    assert ends["brightness"] == ends["saturation"] == ends["contrast"] == ends["sharpness"] == [0, 0.27, 0.9]
    assert ends["posterize"] == [8, 7, 4]
    assert ends["solarize"] == [255, 178.5, 0]
    wide = {name: policies.ranges(name, 31, shape, wide=True)[-1] for name in policies.OPERATIONS}
    assert [wide[name] for name in ("shear_x", "translate_y", "rotate", "contrast", "posterize", "solarize")] == [
        0.99, 32, 135, 0.99, 2, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("table", [policies.CIFAR10, policies.IMAGENET], ids=["cifar10", "imagenet"])
def test_published_policies_are_25_pairs(table):
    pairs = policies.parsed(table)
    assert len(pairs) == 25
    for name, probability, magnitude in (step for pair in pairs for step in pair):
        assert name in policies.OPERATIONS and 0 <= probability <= 1 and magnitude in range(10)


def test_published_policies_begin_and_end_as_in_the_paper():
    assert policies.parsed(policies.CIFAR10)[0] == (("invert", 0.1, 7), ("contrast", 0.2, 6))
    assert policies.parsed(policies.CIFAR10)[24] == (("translate_y", 0.7, 9), ("autocontrast", 0.9, 1))
    assert policies.parsed(policies.IMAGENET)[0] == (("posterize", 0.4, 8), ("rotate", 0.6, 9))
    assert policies.parsed(policies.IMAGENET)[24] == (("equalize", 0.8, 8), ("equalize", 0.6, 3))


@pytest.mark.parametrize("spec", ["randaugment(2, 20)", "trivial_augment", "autoaugment"])
def test_a_sample_is_the_same_alone_and_in_any_batch(spec):
    images = pictures(30)
    augment = tf.function(sequence.build(spec, 0), reduce_retracing=True)
    labels, ids = tf.zeros([30, 2]), tf.range(30, dtype=tf.int64)
    whole = augment(images, labels, ids, 1)[0].numpy()
    for size in (1, 7):
        parts = [
            augment(images[i : i + size], labels[i : i + size], ids[i : i + size], 1)[0] for i in range(0, 30, size)
        ]
        assert np.array_equal(np.concatenate(parts), whole)
    assert (whole != images).any(axis=(1, 2, 3)).mean() > 0.5


def test_randaugment_takes_each_of_14_operations_as_often():
    """Read off from one picture, whose result tells the operation where magnitudes have no sign to hide in."""
    count, picture = 2800, pictures(1)
    result = sequence.build("randaugment(1, 30)", 0)(
        np.repeat(picture, count, axis=0), tf.zeros([count, 2]), tf.range(count, dtype=tf.int64), 0
    )[0].numpy()
    kinds, counts = np.unique(result.reshape(count, -1), axis=0, return_counts=True)
    assert len(kinds) == 5 + 2 * 9  # identity and 4 without a sign; 9 that go either way
    once, either = np.sort(counts)[-5:], np.sort(counts)[:-5]
    assert np.abs(once - count / 14).max() < 5 * np.sqrt(count / 14)
    assert np.abs(either - count / 28).max() < 5 * np.sqrt(count / 28)


def test_autoaugment_does_a_step_with_its_probability(monkeypatch):
    monkeypatch.setattr(policies, "CIFAR10", "invert .3 0 identity 0 0|identity 0 0 invert .9 0")
    count = 4000
    images = tf.zeros([count, 4, 4, 1], tf.uint8)
    ids = tf.range(count, dtype=tf.int64)
    done = sequence.build("autoaugment", 0)(images, tf.zeros([count, 2]), ids, 0)[0].numpy()[:, 0, 0, 0] == 255
    assert abs(done.mean() - 0.6) < 5 * np.sqrt(0.24 / count)
