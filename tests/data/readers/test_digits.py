"""The digits are scikit-learn's, level by level."""

import numpy as np

from keras_imgcls.core.config import DataOptions
from keras_imgcls.data.readers import load
from keras_imgcls.data.readers.digits import digits


def test_the_levels_are_scikit_learns():
    from sklearn.datasets import load_digits

    samples, data = digits(DataOptions(dataset="digits"), 0), load_digits()
    assert samples.images.shape == (1797, 8, 8, 1) and samples.images.dtype == np.uint8
    assert (samples.images.min(), samples.images.max()) == (0, 255)
    assert np.array_equal(np.rint(samples.images[..., 0] / 255 * 16), data.images)
    assert np.array_equal(samples.manifest.classes(), data.target)
    assert samples.manifest.class_names == tuple("0123456789") and not samples.mirrored


def test_loading_draws_splits_and_keeps_pixels_with_their_labels():
    whole = digits(DataOptions(dataset="digits"), 0)
    samples = load(DataOptions(dataset="digits", test_fraction=0.2, validation_fraction=0.1), 0)
    assert [len(samples.manifest.ids(split)) for split in ("train", "validation", "test")] == [1294, 144, 359]
    rows = [int(source[7:-1]) for source in samples.manifest.sources]
    assert np.array_equal(samples.images, whole.images[rows])
    assert np.array_equal(samples.manifest.labels, whole.manifest.labels[rows])
    assert load(DataOptions(dataset="digits"), 1).manifest.digest() != samples.manifest.digest()
