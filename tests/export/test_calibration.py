import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.data import readers
from keras_imgcls.evaluation import held_out
from keras_imgcls.export import calibration
from tests.inference.tiny import make_run


def test_classes_come_equally_often_as_far_as_their_images_go():
    classes = np.array([0] * 500 + [1] * 7 + [2] * 90)
    chosen = calibration.balanced(classes, 61)
    assert len(set(chosen.tolist())) == len(chosen) == 61
    assert np.bincount(classes[chosen]).tolist() == [27, 7, 27]


def test_all_are_taken_where_there_are_few():
    assert sorted(calibration.balanced(np.array([1, 0, 1]), 300)) == [0, 1, 2]


def test_none_are_an_error():
    with pytest.raises(UserError, match="Calibration needs training images, and there are none"):
        calibration.balanced(np.array([]), 300)


def test_images_are_of_training_and_a_black_and_a_white_one(tmp_path):
    run = make_run(tmp_path / "run", names=tuple("0123456789"))
    samples = readers.load(run.config, run.config.seed)
    samples.manifest.write(run.manifest)
    images = calibration.images(run, 50)
    assert images.shape == (52, 8, 8, 1) and images.dtype == np.uint8
    assert images[50].max() == 0 and images[51].min() == 255
    data, ids = held_out.own_samples(run, "train")
    training = {image.tobytes() for image in data.images[ids]}
    assert {image.tobytes() for image in images[:50]} <= training
