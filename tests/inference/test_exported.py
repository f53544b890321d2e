"""Exported files as predictors: the same answers as the run's, and a clear word where a file is another's."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.export import saved_model, tflite
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.exported import LABELS, SERVING, labels_text, load_exported, serving_text
from keras_imgcls.inference.predictor import Predictor
from tests.inference.tiny import NAMES, make_model

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(make_model(SHAPE), NAMES, "pad", "bilinear", min_confidence=0.125)


@pytest.fixture(scope="module")
def exports(tmp_path_factory, predictor):
    folder = tmp_path_factory.mktemp("exports")
    saved_model.write(predictor, folder / "saved_model" / "3")
    tflite.write(Trained(None, predictor), folder / "model.tflite")
    return folder


@pytest.mark.parametrize("name", ["saved_model", "saved_model/3", "model.tflite"])
def test_an_export_answers_as_the_run(exports, predictor, name):
    loaded = load_exported(exports / name)
    images = np.random.default_rng(0).integers(0, 256, (9, 13, 8, 3), np.uint8)
    np.testing.assert_allclose(loaded.predict(images, batch_size=4), predictor.predict(images), atol=1e-6)
    assert loaded.predict(images[:0]).shape == (0, 10)
    assert loaded.class_names == NAMES and loaded.resize == "pad" and loaded.min_confidence == 0.125


def test_the_newest_version_is_taken(exports, tmp_path, predictor):
    for version in ("9", "10"):
        saved_model.write(Predictor(predictor.model, [f"{version}-{name}" for name in NAMES]), tmp_path / version)
    (tmp_path / "notes").mkdir()
    assert load_exported(tmp_path).class_names[0] == "10-digit 0"


def test_features_need_the_run(exports):
    with pytest.raises(UserError, match="--embeddings needs --run_dir=RUN, not an exported file"):
        load_exported(exports / "model.tflite").embed(np.zeros((1, *SHAPE), np.uint8))


class TestOtherFiles:
    def test_nothing_there(self, tmp_path):
        (tmp_path / "model.keras").touch()
        for path in (tmp_path, tmp_path / "missing", tmp_path / "model.keras"):
            with pytest.raises(UserError, match="is no SavedModel folder and no .tflite or .onnx file"):
                load_exported(path)

    def test_a_file_without_labels(self, tmp_path):
        (tmp_path / "a.tflite").write_bytes(b"no model at all")
        with pytest.raises(UserError, match=r"a\.tflite can't be used: it holds no labels"):
            load_exported(tmp_path / "a.tflite")

    def test_a_file_that_is_no_model(self, tmp_path, predictor):
        (tmp_path / "a.tflite").write_bytes(b"no model at all")
        with zipfile.ZipFile(tmp_path / "a.tflite", "a") as archive:
            archive.writestr(LABELS, labels_text(predictor))
            archive.writestr(SERVING, serving_text(predictor))
        with pytest.raises(UserError, match=r"a\.tflite can't be loaded: ValueError: "):
            load_exported(tmp_path / "a.tflite")

    def test_somebody_elses_saved_model(self, tmp_path):
        module = tf.Module()
        module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)])
        tf.saved_model.save(module, str(tmp_path / "1"))
        with pytest.raises(UserError, match=r"was not written by bin/export: it holds no labels\.txt, serving\.json"):
            load_exported(tmp_path / "1")
        (tmp_path / "1" / "assets" / LABELS).write_text("a\nb\n")
        described = {"image_shape": SHAPE, "resize": "crop", "interpolation": "area", "min_confidence": 0}
        (tmp_path / "1" / "assets" / SERVING).write_text(json.dumps(described))
        with pytest.raises(UserError, match="has no signature serving_default that answers probabilities"):
            load_exported(tmp_path / "1")
