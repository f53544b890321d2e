"""AugMix and 3-Augment against what their parts say."""

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from keras_imgcls.augment import chains, sequence
from keras_imgcls.augment.randomness import Draws, stream


def pictures(count=64, channels=3):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    images = np.stack([np.asarray(Image.fromarray(image).resize((32, 32), Image.BICUBIC)) for image in coarse])
    return images[..., :channels]


def run(spec, images):
    ids = tf.range(len(images), dtype=tf.int64)
    return sequence.build(spec, 5)(tf.constant(images), tf.zeros([len(images), 2]), ids, 0)[0].numpy()


def test_shares_are_uniform_in_sum_and_alike():
    draws = Draws(stream(0, 0), tf.range(20_000, dtype=tf.int64), 0)
    shares = np.stack([share.numpy().ravel() for share in chains._shares(draws, 3)])
    assert (shares >= 0).all()
    taken = np.sort(shares.sum(axis=0))
    assert np.abs(taken - np.linspace(0, 1, len(taken))).max() < 0.015  # Kolmogorov-Smirnov, p = 0.0003
    assert np.abs(shares.mean(axis=1) - 1 / 6).max() < 0.005
    assert np.abs((shares[0] / taken.mean()).mean() - 1 / 3).max() < 0.01


def test_augmix_of_no_operations_gives_the_image_back(monkeypatch):
    """The weights sum to 1: chains that change nothing change nothing."""
    monkeypatch.setattr(chains, "applied", lambda images, *_: images)
    images = pictures()
    assert np.array_equal(run("augmix", images), images)


def test_augmix_grows_with_severity():
    images = pictures()
    changes = [np.abs(run(f"augmix({severity})", images) - images.astype(float)).mean() for severity in (1, 3, 10)]
    assert changes == sorted(changes) and changes[0] > 0


def test_three_augment_is_one_of_three():
    """Without jitter each sample is the grey image, the solarized one, or a smoother one."""
    images = pictures()
    results = run("three_augment(0)", images)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L").convert("RGB")) for image in images])
    negative = np.stack([np.asarray(ImageOps.solarize(Image.fromarray(image), 128)) for image in images])
    is_grey = (np.abs(results - grey.astype(int)) <= 1).all(axis=(1, 2, 3))
    is_negative = (results == negative).all(axis=(1, 2, 3))
    rest = ~is_grey & ~is_negative

    def roughness(images):
        return np.abs(np.diff(images.astype(float), axis=1)).mean(axis=(1, 2, 3))

    assert min(is_grey.sum(), is_negative.sum(), rest.sum()) > 10
    assert (roughness(results[rest]) <= roughness(images[rest])).all()  # a deviation of 0.1 pixels smooths nothing
