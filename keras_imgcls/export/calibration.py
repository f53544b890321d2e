"""Calibration: the training images from which int8 exports learn the range of every activation."""

import numpy as np

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.evaluation import held_out

IMAGES = 300  # 200 lost nothing on EfficientNet-lite0
SEED = 0


def images(run: Run, count: int = IMAGES) -> np.ndarray:
    """Up to `count` training images, distinct, of all classes alike, and a black and a white one.

    uint8 of shape (n, height, width, channels), made as training made them. The two that are no photos put the range of
    the input at exactly 0 to 255, so that its quantization is (1.0, 0) and cameras' bytes go in as they are.

    Raises:
        UserError: the data of the run is gone or has changed, or the run trained on none of its own.
    """
    data, ids = held_out.own_samples(run, "train", on_bad_image="exclude")
    chosen = balanced(data.manifest.classes()[ids], count)
    batches = held_out.batches(run, data, ids[chosen], 64)
    photos = np.concatenate([batch[0].numpy() for batch in batches])
    return with_extremes(photos)


def with_extremes(photos: np.ndarray) -> np.ndarray:
    """`photos`, a black image and a white one."""
    return np.concatenate([photos, np.zeros_like(photos[:1]), np.full_like(photos[:1], 255)])


def balanced(classes: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` distinct positions, in random order: each class equally often, as far as its images go."""
    if not len(classes):
        raise UserError("Calibration needs training images, and there are none.")
    random = np.random.default_rng(SEED)
    shuffled = random.permutation(len(classes))
    of_class = {name: shuffled[classes[shuffled] == name] for name in np.unique(classes)}
    # The n-th image of every class comes before the (n+1)-th of any.
    turns = np.concatenate([np.arange(len(members)) for members in of_class.values()])
    members = np.concatenate(list(of_class.values()))
    return random.permutation(members[np.argsort(turns, kind="stable")][:count])
