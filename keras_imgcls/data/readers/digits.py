"""Digits: scikit-learn's handwritten digits, the dataset that needs no download."""

import numpy as np

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.registry import DATASETS
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.samples import Samples

LEVELS = 16  # the images count, in 4 x 4 blocks of a scan, the pixels that are inked


@DATASETS.register
def digits(options: DataOptions, seed: int) -> Samples:
    """1,797 handwritten digits, 8x8 grey; comes with scikit-learn. (UCI, Alpaydin and Kaynak 1998.)"""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / LEVELS)).astype(np.uint8)[..., np.newaxis]
    sources = np.char.mod("digits[%04d]", np.arange(len(images)))
    names = tuple(str(name) for name in data.target_names)
    manifest = Manifest(sources, one_hot(data.target, len(names)), np.full(len(images), "train"), names)
    return Samples("digits", manifest, images, mirrored=False)
