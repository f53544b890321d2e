"""Good exports pass, those that are wrong in any way are caught, and none of these takes the place of a good one."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import resize_image
from keras_imgcls.export import export, parity, saved_model, tflite
from keras_imgcls.inference.predictor import Predictor
from tests.inference.tiny import make_model, make_run

NAMES = tuple(f"class {index}" for index in range(10))
SHAPE = (8, 8, 3)


def make_predictor(**changes):
    return Predictor(make_model(SHAPE), changes.pop("names", NAMES), **{"resize": "squash", **changes})


def make_reference(predictor, count=64):
    """Images of several sizes as PNG, and as the pixels that training saw."""
    random = np.random.default_rng(0)
    sizes = [(8 + index % 9, 8 + index % 5) for index in range(count)]
    photos = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    images = np.stack([resize_image(photo, 8, "squash", "bilinear").numpy() for photo in photos])
    encoded = [tf.io.encode_png(photo).numpy() for photo in photos]
    probabilities = parity.keras_probabilities(predictor, images)
    return parity.Reference("test", images, encoded, probabilities, probabilities.argmax(axis=1), predictor.class_names)


@pytest.fixture(scope="module")
def reference():
    return make_reference(make_predictor())


@pytest.fixture(scope="module")
def good(tmp_path_factory, reference):
    folder = tmp_path_factory.mktemp("good") / "export"
    export.write(make_predictor(), folder)
    return folder, export.verify(folder, reference, 0.99)


def test_a_good_export_passes(good, reference):
    folder, results = good
    assert [result.artefact for result in results] == ["saved_model, pixels", "saved_model, files", "model.tflite"]
    for result in results:
        assert result.failures == () and result.agreement == 1 and result.images == 64
        assert result.accuracy == 1 and 0 <= result.largest_difference < 1e-5
    assert results[2].size == (folder / "model.tflite").stat().st_size
    assert len(np.unique(reference.truth)) >= 5, "all images have the same answer: nothing would be caught"


def test_the_files_are_what_others_expect(good):
    folder, _ = good
    assert (folder / "labels.txt").read_text() == "".join(f"{name}\n" for name in NAMES)
    assert (folder / "saved_model" / "1" / "assets" / "labels.txt").read_bytes() == (folder / "labels.txt").read_bytes()
    assert sorted(path.name for path in (folder / "saved_model").iterdir()) == ["1"]


def mutated(change):
    """A predictor whose network was changed after the reference was made."""
    predictor = make_predictor()
    change(predictor.model)
    return predictor


def shift_bias(model):
    model.get_layer("logits").bias.assign_add(np.eye(10, dtype=np.float32)[0] * 0.05)


def rescale(model):
    next(layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)).scale = 1 / 127


def swap_channels(model):
    kernel = model.get_layer("stem").kernel
    kernel.assign(kernel.numpy()[:, :, ::-1])


def train_statistics(model):
    next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)).epsilon = 0.1


@pytest.mark.parametrize("change", [shift_bias, rescale, swap_channels, train_statistics])
def test_a_changed_network_is_caught(change, reference, tmp_path):
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    tflite.write(mutated(change), tmp_path / "model.tflite")
    (tmp_path / "work").mkdir()
    result = parity.check_tflite(tmp_path / "model.tflite", tmp_path / "labels.txt", reference, tmp_path / "work", 0.99)
    assert any("a probability differs by" in failure for failure in result.failures)


@pytest.mark.parametrize(
    "labels, failure",
    [
        ([NAMES[1], NAMES[0], *NAMES[2:]], "its labels are not those of the run, in their order"),
        (sorted(NAMES, reverse=True), "it agrees with the Keras model on"),
    ],
)
def test_other_labels_beside_a_right_file_are_caught(good, reference, tmp_path, labels, failure):
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in labels))
    (tmp_path / "work").mkdir()
    result = parity.check_tflite(good[0] / "model.tflite", tmp_path / "labels.txt", reference, tmp_path / "work", 0.99)
    assert any(failure in text for text in result.failures)


@pytest.mark.parametrize(
    "changes, broken",
    [
        ({"resize": "crop"}, {"saved_model, files"}),
        ({"names": NAMES[::-1], "temperature": 1.1}, {"saved_model, pixels", "saved_model, files"}),
    ],
)
def test_a_changed_way_to_the_network_or_from_it_is_caught(reference, tmp_path, changes, broken):
    saved_model.write(make_predictor(**changes), tmp_path / "saved_model" / "1")
    (tmp_path / "work").mkdir()
    results = parity.check_saved_model(tmp_path / "saved_model" / "1", reference, tmp_path / "work", 0.99)
    assert {result.artefact for result in results if result.failures} == broken


def test_answers_that_are_no_numbers_fail():
    predictor = make_predictor()
    expected = make_reference(predictor, 8)
    answers = {
        "probabilities": np.full((8, 10), np.nan),
        "chosen": np.array(NAMES)[expected.truth],
        "class_names": np.array(NAMES),
    }
    result = parity._compare("x", answers, "", expected, Path(__file__), 0.99)
    assert result.failures == ("a probability differs by nan, more than 0.001",)


def test_a_file_that_does_not_run_is_said(reference, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"no model at all")
    (tmp_path / "labels.txt").write_text("")
    (tmp_path / "work").mkdir()
    with pytest.raises(UserError, match=r"The export model\.tflite can't be run in a fresh interpreter: ValueError: "):
        parity.check_tflite(tmp_path / "model.tflite", tmp_path / "labels.txt", reference, tmp_path / "work", 0.99)


def test_an_operation_beyond_the_builtins_is_said(tmp_path):
    image = keras.Input((8, 8, 1), name="image")
    spectrum = keras.layers.Lambda(lambda x: tf.math.betainc(x / 256 + 0.1, x / 256 + 0.1, x / 256))(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(spectrum)))
    with pytest.raises(UserError, match="The model can't be converted to TFLite's built-in operations: "):
        tflite.write(Predictor(model, ("a", "b")), tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


class TestWholeExports:
    """`export_run`, with held-out images that need no dataset."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        run = make_run(tmp_path / "run", model=make_model(SHAPE), names=NAMES)
        monkeypatch.setattr(parity, "reference", lambda run, predictor, samples: make_reference(predictor, samples))
        monkeypatch.setattr(
            parity, "check_saved_model", lambda *arguments: []
        )  # proven above; it starts TensorFlow each time
        return run

    def left_over(self, run):
        return [path.name for path in run.path.iterdir() if path.name.startswith(".")]

    def test_a_good_one_replaces_all_of_an_earlier_one(self, run):
        run.export.mkdir()
        (run.export / "stale.tflite").write_text("of an older model")
        (result,) = export.export_run(run, samples=16)
        stored = json.loads((run.export / "parity.json").read_text())
        assert [entry["artefact"] for entry in stored["artefacts"]] == [result.artefact] == ["model.tflite"]
        assert stored["images"] == 16 and stored["split"] == "test" and stored["artefacts"][0]["agreement"] == 1.0
        assert sorted(path.name for path in run.export.iterdir()) == [
            "labels.txt",
            "model.tflite",
            "parity.json",
            "saved_model",
        ]
        assert not self.left_over(run)

    def test_a_wrong_one_leaves_the_earlier_one(self, run, monkeypatch):
        run.export.mkdir()
        (run.export / "model.tflite").write_text("good")
        write = tflite.write
        monkeypatch.setattr(tflite, "write", lambda predictor, path: write(mutated(shift_bias), path))
        results = export.export_run(run, samples=16)
        assert [bool(result.failures) for result in results] == [True]
        assert [path.name for path in run.export.iterdir()] == ["model.tflite"]
        assert (run.export / "model.tflite").read_text() == "good"
        assert not self.left_over(run)

    def test_one_that_fails_midway_leaves_nothing(self, run, monkeypatch):
        def fail(predictor, path):
            raise UserError("no such operation")

        monkeypatch.setattr(tflite, "write", fail)
        with pytest.raises(UserError, match="no such operation"):
            export.export_run(run, samples=16)
        assert not run.export.exists() and not self.left_over(run)

    def test_a_full_disk_is_one_clear_line(self, run, monkeypatch):
        """TensorFlow's words for it, without the name of its node."""

        def fail(*arguments, **options):
            raise tf.errors.ResourceExhaustedError(
                None, None, "{{function_node __wrapped__SaveV2}} a/b; No space left on device"
            )

        monkeypatch.setattr(tf.saved_model, "save", fail)
        with pytest.raises(UserError, match=r"^Can't write .*run/export: a/b; No space left on device\.$"):
            export.export_run(run, samples=16)
        assert not run.export.exists() and not self.left_over(run)


def test_the_fresh_interpreter_has_this_package_nowhere(good, reference, tmp_path, monkeypatch):
    """Even where the working directory of the caller holds a package of that name, and says so loudly."""
    (tmp_path / "keras_imgcls").mkdir()
    (tmp_path / "keras_imgcls" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    answers = parity._run_fresh(
        "fresh_tflite.py",
        good[0] / "model.tflite",
        good[0] / "labels.txt",
        _images(reference, tmp_path),
        work=tmp_path / "work",
    )
    imported = set(answers["imported"].tolist())
    assert "ai_edge_litert" in imported and not imported & {"keras_imgcls", "tensorflow", "keras"}
    with pytest.raises(UserError, match="without ai_edge_litert, but ai_edge_litert was imported"):
        parity._require_absent(answers, ["ai_edge_litert"])


def _images(reference, folder):
    np.save(folder / "images.npy", reference.images)
    return folder / "images.npy"
