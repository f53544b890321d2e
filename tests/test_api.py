"""The Python face: instant to import, and the README's code runs as it stands there."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_imgcls

README = Path(__file__).parents[1] / "README.md"


def test_importing_loads_nothing_heavy():
    code = "import sys, keras_imgcls; print([name for name in ('tensorflow', 'keras', 'numpy', 'absl') if name in sys.modules])"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=README.parent
    )
    assert finished.stdout.strip() == "[]"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN is asked for on x86 only")
@pytest.mark.parametrize(("given", "expected"), [({}, "True"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "False")])
def test_onednn_is_on_unless_one_says_no(given, expected):
    code = (
        "import keras_imgcls, tensorflow; from tensorflow.python.util import _pywrap_util_port; "
        "print(_pywrap_util_port.IsMklEnabled())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | given
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=README.parent, env=environment
    )
    assert finished.stdout.strip() == expected


def test_every_public_name_is_there():
    for name in keras_imgcls.__all__:
        assert getattr(keras_imgcls, name)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        keras_imgcls.trian  # noqa: B018


def test_the_code_in_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    scope = {}
    exec("".join(blocks), scope)  # noqa: S102 - our own text
    assert scope["probabilities"].shape == (5, 10)
    np.testing.assert_allclose(scope["probabilities"].sum(axis=1), 1.0, atol=1e-5)
    assert "tiny" in keras_imgcls.list_models()


def toy_dataset(count, batched):
    draw = np.random.default_rng(count)
    classes = draw.integers(0, 2, count)
    images = (classes[:, None, None, None] * 120 + draw.integers(0, 100, (count, 16, 16, 3))).astype(np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((images, classes))
    return dataset.batch(16) if batched else dataset


def toy_model():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def test_a_named_model_may_begin_with_weights_from_a_file(tmp_path):
    path = tmp_path / "first.keras"
    model = keras_imgcls.build("plain_cnn(width=2)", (16, 16, 3), 5)
    model.get_layer("stem_conv").set_weights([np.full((3, 3, 3, 2), 7.0)])
    model.save(path)
    options = {"class_names": ["dark", "bright"], "epochs": 1, "learning_rate": 1e-9, "mixed_precision": "float32"}
    run = keras_imgcls.train(
        "plain_cnn(width=2)", toy_dataset(32, True), run_dir=str(tmp_path / "run"), pretrained=str(path), **options
    )
    (kernel,) = keras_imgcls.load_run(run.path).model.get_layer("stem_conv").get_weights()
    np.testing.assert_allclose(kernel, 7.0, atol=1e-5)


def test_a_model_of_ones_own_brings_the_statistics_that_freeze_norm_keeps(tmp_path):
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image))
    norm = keras.layers.BatchNormalization()
    x = keras.layers.GlobalAveragePooling2D()(norm(x))
    model = keras.Model(image, keras.layers.Dense(10)(x))
    norm.moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    options = {"epochs": 1, "mixed_precision": "float32", "freeze_norm": True}
    keras_imgcls.train(model, "digits", run_dir=str(tmp_path / "run"), **options)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), np.float32([0.1, 0.2, 0.3, 0.4]))


@pytest.mark.parametrize("batched", [True, False])
def test_any_model_and_any_dataset_train(tmp_path, batched):
    run = keras_imgcls.train(
        toy_model(),
        toy_dataset(128, batched),
        validation=toy_dataset(64, batched),
        class_names=["dark", "bright"],
        run_dir=str(tmp_path / "run"),
        epochs=10,
        batch_size=16,
        optimizer="adamw",
        learning_rate=0.03,
        mixed_precision="float32",
    )
    metrics = run.read_metrics()
    assert metrics["validation"]["accuracy"] > 0.9
    assert "test" not in metrics
    predictor = keras_imgcls.load_run(run.path)
    images = np.stack([np.full((16, 16, 3), 30, np.uint8), np.full((16, 16, 3), 190, np.uint8)])
    assert [predictor.class_names[index] for index in predictor.predict(images).argmax(axis=1)] == ["dark", "bright"]


def test_a_dataset_without_names_is_refused(tmp_path):
    with pytest.raises(keras_imgcls.UserError, match="has no class names"):
        keras_imgcls.train(toy_model(), toy_dataset(32, True), run_dir=str(tmp_path / "run"))
    with pytest.raises(keras_imgcls.UserError, match=r"A class can't be called '\\x1b\[2J'"):
        names = ["dark", "\x1b[2J"]
        keras_imgcls.train(toy_model(), toy_dataset(32, True), class_names=names, run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_model_of_ones_own_trains_on_a_named_dataset(tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(x))
    run = keras_imgcls.train(
        keras.Model(image, keras.layers.Dense(10)(x)), "digits", epochs=15, optimizer="adamw", learning_rate=0.01,
        weight_decay=0.0, run_dir=str(tmp_path / "run"), mixed_precision="float32",
    )  # fmt: skip
    assert run.read_metrics()["test"]["accuracy"] > 0.85


def test_options_are_checked_as_flags_are(tmp_path):
    with pytest.raises(keras_imgcls.UserError, match="--epochs is at least 1; received 0"):
        keras_imgcls.train("plain_cnn", "digits", epochs=0, run_dir=str(tmp_path / "run"))
    with pytest.raises(keras_imgcls.UserError, match="Unknown model 'resnt20'. Did you mean 'resnet20'"):
        keras_imgcls.build("resnt20", (32, 32, 3), 10)


def test_public_names_stay_functions_whatever_is_imported():
    """There is a folder `export` too: importing it must not take the place of the function."""
    import keras_imgcls.export.parity

    assert callable(keras_imgcls.export) and callable(keras_imgcls.evaluate)
    assert keras_imgcls.export is keras_imgcls.api.export
    from keras_imgcls.export import parity

    assert parity.__name__ == "keras_imgcls.export.parity"
