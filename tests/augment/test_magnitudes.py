"""A sweep goes from the image itself to the full effect, with one draw; every registered operation can be shown."""

import numpy as np
import pytest

from keras_imgcls.augment import magnitudes
from keras_imgcls.core.registry import AUGMENTATIONS
from keras_imgcls.core.spec import Call, parse_call

IMAGE = np.random.default_rng(0).integers(40, 200, (24, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
def test_every_operation_is_shown(name):
    images, captions = magnitudes.sweep(Call(name), IMAGE, 4, 0)
    assert images.shape == (4, 24, 24, 3) and images.dtype == np.uint8
    assert len(captions) == 4 and all(caption.startswith(name) for caption in captions)
    assert (images != IMAGE).any()
    if AUGMENTATIONS.traits(name).get("identity") and not AUGMENTATIONS.traits(name).get("shown"):
        assert np.array_equal(images[0], IMAGE)


def test_brightness_moves_one_way_to_the_magnitude_that_is_given():
    images, captions = magnitudes.sweep(parse_call("brightness(0.8)"), IMAGE // 2, 5, 0)
    means = images.mean(axis=(1, 2, 3))
    steps = np.diff(means)
    assert (steps > 0).all() or (steps < 0).all()
    assert captions[-1] == "brightness 0.8"
