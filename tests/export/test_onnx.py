"""The ONNX file in onnxruntime, by itself and as a predictor."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.export import onnx
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.exported import load_exported
from keras_imgcls.inference.predictor import Predictor
from tests.inference.tiny import NAMES, digits, make_model

pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def predictor():
    return Predictor(make_model(), NAMES, "crop", "area", temperature=2.0, min_confidence=0.5)


@pytest.fixture(scope="module")
def path(tmp_path_factory, predictor):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx.write(Trained(None, predictor), path)
    return path


def test_onnxruntime_answers_as_the_run_for_any_number_of_images(path, predictor):
    session = onnxruntime.InferenceSession(str(path))
    (image,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [8, 8, 1])
    assert (probabilities.name, probabilities.type, probabilities.shape[1:]) == ("probabilities", "tensor(float)", [10])
    for count in (1, 7):
        answer = session.run(None, {"image": digits(count)})[0]
        np.testing.assert_allclose(answer, predictor.predict(digits(count)), atol=1e-5)


def test_the_file_knows_all_that_the_run_knew(path, predictor):
    loaded, images = load_exported(path), np.random.default_rng(0).integers(0, 256, (3, 12, 30, 1), np.uint8)
    for name in ("class_names", "image_shape", "resize", "interpolation", "min_confidence"):
        assert getattr(loaded, name) == getattr(predictor, name)
    np.testing.assert_allclose(loaded.predict(images), predictor.predict(images), atol=1e-5)


@pytest.mark.parametrize("strides, dilation, padding", [(1, 1, "same"), (2, 1, "valid"), (1, 2, "same")])
def test_convolutions_in_groups(tmp_path, strides, dilation, padding):
    """Keras has XLA compile them, and tf2onnx doesn't look into that."""
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 4), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.Conv2D(6, 3, strides, padding, dilation_rate=dilation, groups=2, activation="relu")(x)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    grouped = Predictor(model, ("a", "b", "c"))
    onnx.write(Trained(None, grouped), tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 4), np.uint8)
    answers = load_exported(tmp_path / "model.onnx").predict(images)
    np.testing.assert_allclose(answers, grouped.predict(images), atol=1e-5)
    assert np.ptp(answers, axis=0).min() > 0.1, "all images have the same answer: nothing would be caught"


def test_an_operation_that_onnx_lacks_is_said(tmp_path):
    image = keras.Input((8, 8, 4), name="image")
    beta = keras.layers.Lambda(lambda x: tf.math.betainc(x / 256 + 0.1, x / 256 + 0.1, x / 256))(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(beta)))
    with pytest.raises(UserError, match="The model can't be converted to ONNX: .*Betainc"):
        onnx.write(Trained(None, Predictor(model, ("a", "b"))), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_said(path, predictor, tmp_path, monkeypatch):
    for package, action in {
        "tf2onnx": lambda: onnx.write(Trained(None, predictor), tmp_path / "model.onnx"),
        "onnxruntime": lambda: load_exported(path),
    }.items():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf"{package}, which isn't installed: pip install 'keras_imgcls\[onnx\]'"):
            action()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model at all")
    with pytest.raises(UserError, match=r"a\.onnx can't be loaded: "):
        load_exported(tmp_path / "a.onnx")
