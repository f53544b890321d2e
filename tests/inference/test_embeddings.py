import keras
import numpy as np
import pytest

from keras_imgcls.inference.embeddings import growing_array
from keras_imgcls.inference.predictor import Predictor
from keras_imgcls.models import classifier
from tests.inference.tiny import NAMES, digits, make_model


def test_features_are_what_the_last_layer_makes_logits_of():
    model = classifier.build("resnet20(width=4)", (16, 16, 1), 3)
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 1), np.uint8)
    predictor = Predictor(model, "abc")
    probabilities, features = predictor.embed(images, batch_size=4)
    assert features.shape == (9, 16) and features.dtype == np.float32
    head = model.get_layer("logits")
    np.testing.assert_allclose(features @ head.kernel + head.bias, predictor.logits(images), atol=1e-4)
    np.testing.assert_allclose(probabilities, predictor.predict(images), atol=1e-6)


def test_a_graph_without_landmarks_gives_the_input_of_its_last_layer():
    model = make_model()
    features = Predictor(model, NAMES).embed(digits(4))[1]
    tap = keras.Model(model.input, model.layers[-2].output)
    np.testing.assert_allclose(features, tap.predict(digits(4), verbose=0), atol=1e-4)


@pytest.mark.parametrize("rows", [0, 1, 12, 1000])
def test_the_file_is_one_that_numpy_reads(tmp_path, rows):
    expected = np.random.default_rng(0).normal(size=(rows, 7)).astype(np.float32)
    with growing_array(tmp_path / "a.npy", 7) as add:
        for row in expected:
            add(row)
    assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), expected)


def test_what_has_no_features_is_nan_and_keeps_its_row(tmp_path):
    with growing_array(tmp_path / "a.npy", 2) as add:
        for row in (np.ones(2), None, np.zeros(2)):
            add(row)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), [[1, 1], [np.nan, np.nan], [0, 0]])


def test_a_broken_off_job_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), growing_array(tmp_path / "a.npy", 2) as add:
        add(np.ones(2))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
