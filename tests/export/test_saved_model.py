"""The SavedModel as others see it: signatures, assets, `saved_model_cli`, and pictures of any size."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.data.decode import resize_image
from keras_imgcls.export import saved_model
from keras_imgcls.inference.exported import load_exported
from keras_imgcls.inference.predictor import Predictor
from tests.inference.tiny import make_model

NAMES = tuple(f"class {index}" for index in range(10))
SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(make_model(SHAPE), NAMES, "crop", "bicubic", temperature=1.5, min_confidence=0.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, predictor):
    folder = tmp_path_factory.mktemp("export") / "saved_model" / "1"
    saved_model.write(predictor, folder)
    return folder


@pytest.fixture(scope="module")
def signatures(folder):
    model = tf.saved_model.load(str(folder))
    yield model.signatures
    del model


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def test_signatures_have_named_inputs_and_outputs(signatures):
    described = {
        name: (
            {k: (v.dtype.name, v.shape.as_list()) for k, v in s.structured_input_signature[1].items()},
            {k: (v.dtype.name, v.shape.as_list()) for k, v in s.structured_outputs.items()},
        )
        for name, s in signatures.items()
    }
    best = {"probabilities": ("float32", [None, 10]), "label": ("string", [None])}
    assert described == {
        "serving_default": ({"image": ("uint8", [None, None, None, 3])}, best),
        "serve_bytes": ({"image_bytes": ("string", [None])}, best),
        "classify": (
            {"image_bytes": ("string", [None])},
            {"labels": ("string", [None, 5]), "probabilities": ("float32", [None, 5])},
        ),
    }


@pytest.mark.parametrize("size", [(8, 8), (8, 13), (31, 8), (3, 2)])
def test_pixels_of_any_size_are_resized_as_in_training(signatures, predictor, size):
    images = pictures(5, size)
    fitted = np.stack([resize_image(image, 8, "crop", "bicubic").numpy() for image in images])
    answer = signatures["serving_default"](image=tf.constant(images))
    np.testing.assert_allclose(answer["probabilities"], predictor.predict(fitted), atol=1e-6)


def test_classify_has_the_most_probable_first(signatures, predictor):
    images = pictures(4, (12, 20))
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    answer = signatures["classify"](image_bytes=tf.constant(encoded))
    expected = predictor.predict(images)
    order = (-expected).argsort(axis=1)[:, :5]
    assert answer["labels"].numpy().astype(str).tolist() == np.array(NAMES)[order].tolist()
    np.testing.assert_allclose(answer["probabilities"], np.take_along_axis(expected, order, axis=1), atol=1e-6)


def test_of_few_classes_all_are_answered(tmp_path):
    saved_model.write(Predictor(make_model(SHAPE, 2), ("cat", "dog")), tmp_path / "1")
    classify = tf.saved_model.load(str(tmp_path / "1")).signatures["classify"]
    assert classify.structured_outputs["labels"].shape.as_list() == [None, 2]


def test_a_model_that_is_not_square_takes_its_own_size(tmp_path):
    model = make_model((8, 6, 1))
    saved_model.write(Predictor(model, NAMES), tmp_path / "1")
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert list(loaded.signatures) == ["serving_default"]
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 1), np.uint8)
    answer = loaded.signatures["serving_default"](image=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(answer, Predictor(model, NAMES).predict(images), atol=1e-6)


def test_a_fresh_predictor_knows_all_that_the_run_knew(folder, predictor):
    loaded, images = load_exported(folder.parent), pictures(70, (9, 14))
    for name in ("class_names", "image_shape", "resize", "interpolation", "min_confidence"):
        assert getattr(loaded, name) == getattr(predictor, name)
    np.testing.assert_allclose(loaded.predict(images), predictor.predict(images), atol=1e-6)


def command(*arguments):
    """The output of `saved_model_cli`, which comes with TensorFlow."""
    cli = "from tensorflow.python.tools.saved_model_cli import main; import sys; sys.exit(main())"
    result = subprocess.run([sys.executable, "-c", cli, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_saved_model_cli_shows_and_runs_it(folder, predictor, tmp_path):
    shown = command("show", "--dir", folder, "--all")
    assert set(re.findall(r"signature_def\['(\w+)'\]", shown)) >= {"serving_default", "serve_bytes", "classify"}
    images = pictures(2, (10, 15))
    np.save(tmp_path / "images.npy", images)
    command(
        "run", "--dir", folder, "--tag_set", "serve", "--signature_def", "serving_default",
        "--inputs", f"image={tmp_path / 'images.npy'}", "--outdir", tmp_path,
    )  # fmt: skip
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), predictor.predict(images), atol=1e-6)


def test_nothing_is_left_beside_it(folder):
    assert [path.name for path in Path(folder).parent.iterdir()] == ["1"]
