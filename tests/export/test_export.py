"""Good exports pass, those that are wrong in any way are caught, and none of these takes the place of a good one."""

import dataclasses
import errno
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.core.config import ExportConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import resize_image
from keras_imgcls.export import calibration, export, fresh, parity, tflite
from keras_imgcls.export.formats import FORMATS
from keras_imgcls.export.reference import Reference, keras_probabilities
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.predictor import Predictor
from tests.inference.tiny import make_model, make_run

NAMES = tuple(f"class {index}" for index in range(10))
SHAPE = (8, 8, 3)


def make_predictor(**changes):
    return Predictor(make_model(SHAPE), changes.pop("names", NAMES), **{"resize": "squash", **changes})


def make_trained(predictor=None, **options):
    """What is exported, with calibration images that need no dataset."""
    trained = Trained(None, predictor or make_predictor(), **options)
    photos = np.random.default_rng(1).integers(0, 256, (40, *SHAPE), np.uint8)
    trained.calibration = calibration.with_extremes(photos)
    trained.validation = make_reference(trained.predictor)
    return trained


def make_reference(predictor, count=64):
    """Images of several sizes as PNG, and as the pixels that training saw."""
    random = np.random.default_rng(0)
    sizes = [(8 + index % 9, 8 + index % 5) for index in range(count)]
    photos = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    images = np.stack([resize_image(photo, 8, "squash", "bilinear").numpy() for photo in photos])
    encoded = [tf.io.encode_png(photo).numpy() for photo in photos]
    probabilities = keras_probabilities(predictor, images)
    return Reference("test", images, encoded, probabilities, probabilities.argmax(axis=1), predictor.class_names)


@pytest.fixture(scope="module")
def reference():
    return make_reference(make_predictor())


@pytest.fixture(scope="module")
def good(tmp_path_factory, reference):
    folder = tmp_path_factory.mktemp("good") / "export"
    export.write(make_trained(int8="float_layers"), folder)
    return folder, export.verify(folder, reference, ExportConfig())


def test_a_good_export_passes(good, reference):
    folder, results = good
    by_name = {result.artefact: result for result in results}
    assert list(by_name) == [
        "saved_model, pixels", "saved_model, files", "saved_model, classify",
        "model.tflite", "model.tflite, by MediaPipe", "model_float16.tflite", "model_dynamic.tflite",
        "model_int8.tflite", "model_int8.tflite, by MediaPipe", "model.keras",
    ]  # fmt: skip
    untimed = {"saved_model, files", "saved_model, classify", "model.keras"}
    for result in results:
        assert result.failures == () and result.images == 64
        quick = result.artefact in untimed or result.artefact.endswith("by MediaPipe")
        assert set(result.latency) == (set() if quick else {"1", "2"})
    for name in ("saved_model, pixels", "saved_model, files", "saved_model, classify", "model.tflite", "model.keras"):
        assert by_name[name].accuracy == by_name[name].agreement == 1 and by_name[name].largest_difference < 1e-5
    assert by_name["model.tflite"].size == (folder / "model.tflite").stat().st_size
    assert by_name["model.tflite"].operations["CONV_2D"] == 1 == by_name["model.tflite"].operations["SOFTMAX"]
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


def exported(trained, name, folder, labels=NAMES):
    """Writes one format of `trained` and `labels` beside it."""
    path = folder / FORMATS[name].path
    FORMATS[name].write(trained, path)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    return path


def check(path, name, reference):
    return export.check(path, FORMATS[name], reference, ExportConfig())


@pytest.mark.parametrize("change", [shift_bias, rescale, swap_channels, train_statistics])
def test_a_changed_network_is_caught(change, reference, tmp_path):
    path = exported(make_trained(mutated(change)), "tflite", tmp_path)
    result, _ = check(path, "tflite", reference)
    assert any("a probability differs by" in failure for failure in result.failures)


@pytest.mark.parametrize("change", [shift_bias, swap_channels])
def test_a_changed_network_is_caught_in_onnx(change, reference, tmp_path):
    pytest.importorskip("tf2onnx")
    (good,) = check(exported(make_trained(), "onnx", tmp_path), "onnx", reference)
    assert good.failures == () and good.agreement == 1 and set(good.latency) == {"1", "2"}
    (bad,) = check(exported(make_trained(mutated(change)), "onnx", tmp_path), "onnx", reference)
    assert any("a probability differs by" in failure for failure in bad.failures)


def test_labels_that_classify_does_not_have_are_caught(reference):
    order = (-reference.probabilities).argsort(axis=1)[:, :5]
    labels = np.array(NAMES)[order]
    values = np.take_along_axis(reference.probabilities, order, axis=1)
    limits = parity.Limits(0.99, 0.01, 1e-3)

    def failures(labels, values):
        return parity.compare(
            "x", Path(__file__), fresh._best(labels, values, reference, NAMES), reference, limits
        ).failures

    assert failures(labels, values) == ()
    assert any("a probability differs" in text for text in failures(labels, values * 0.9))
    assert any("it agrees with" in text for text in failures(labels[:, ::-1], values[:, ::-1]))
    for wrong in ((labels[:, ::-1], values[:, ::-1]), (np.char.add(labels, "?"), values)):
        assert "its labels are not those of the run, the most probable first" in failures(*wrong)


@pytest.mark.parametrize(
    "labels, failure",
    [
        ([NAMES[1], NAMES[0], *NAMES[2:]], "its labels are not those of the run, in their order"),
        (sorted(NAMES, reverse=True), "it agrees with the Keras model on"),
    ],
)
def test_other_labels_beside_a_right_file_are_caught(reference, tmp_path, labels, failure):
    path = exported(make_trained(), "tflite", tmp_path, labels)
    result, _ = check(path, "tflite", reference)
    assert any(failure in text for text in result.failures)
    assert "the labels inside are not those beside it" in result.failures


@pytest.mark.parametrize(
    "changes, broken",
    [
        ({"resize": "crop"}, {"saved_model, files", "saved_model, classify"}),
        (
            {"names": NAMES[::-1], "temperature": 1.1},
            {"saved_model, pixels", "saved_model, files", "saved_model, classify"},
        ),
    ],
)
def test_a_changed_way_to_the_network_or_from_it_is_caught(reference, tmp_path, changes, broken):
    path = exported(make_trained(make_predictor(**changes)), "saved_model", tmp_path)
    results = check(path, "saved_model", reference)
    assert {result.artefact for result in results if result.failures} == broken


def test_answers_that_are_no_numbers_fail():
    predictor = make_predictor()
    expected = make_reference(predictor, 8)
    answers = fresh.Answers("", np.full((8, 10), np.nan), np.array(NAMES)[expected.truth], NAMES)
    result = parity.compare("x", Path(__file__), answers, expected, parity.Limits(0.99, 0.01, 0.001))
    assert "a probability differs by nan, more than 0.001" in result.failures


def test_a_file_that_does_not_run_is_said(reference, tmp_path):
    (tmp_path / "broken").mkdir()
    with pytest.raises(
        UserError,
        match=r"The export broken can't be run in a fresh interpreter, which ended with exit code 1: OSError: ",
    ):
        check(tmp_path / "broken", "saved_model", reference)
    (tmp_path / "model.tflite").write_bytes(b"no model at all")
    with pytest.raises(UserError, match=r"model\.tflite has no metadata of this package's exports"):
        check(tmp_path / "model.tflite", "tflite", reference)


def test_a_fresh_interpreter_that_the_kernel_kills_is_told_as_such(tmp_path, monkeypatch):
    """Any Python that starts with this folder on its path kills itself."""
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        UserError,
        match=r"The export model.tflite can't be run in a fresh interpreter, which was killed by the kernel or a user "
        r"\(signal 9\), most likely out of memory: end what else needs memory, or export fewer --formats at once",
    ):
        fresh.run("fresh_tflite.py", tmp_path / "model.tflite", work=tmp_path)


def test_an_operation_beyond_the_builtins_is_an_error_unless_it_is_allowed(tmp_path):
    """Then it is written; what no interpreter here runs is not proven all the same, and the gate says so."""
    keras.utils.set_random_seed(2)
    image = keras.Input(SHAPE, name="image")
    curved = keras.layers.Conv2D(4, 3, activation=keras.ops.erf)(keras.layers.Rescaling(1 / 64, -2)(image))
    predictor = Predictor(keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(curved))), NAMES)
    for name in ("tflite", "tflite_int8"):
        with pytest.raises(UserError, match=r"TFLite's built-in operations \(--allow_select_ops .*Erf"):
            exported(make_trained(predictor), name, tmp_path)
    with pytest.raises(
        UserError, match=r"^int8 files can't have TensorFlow's own operations: leave tflite_int8 out of --formats"
    ):
        exported(make_trained(predictor, allow_select_ops=True), "tflite_int8", tmp_path)
    assert not list(tmp_path.glob("*.tflite"))
    path = exported(make_trained(predictor, allow_select_ops=True), "tflite", tmp_path)
    assert fresh.census(path.read_bytes())["FlexErf"] == 1
    with pytest.raises(UserError, match=r"^model\.tflite has FlexErf, which TensorFlow .* for Python doesn't run: "):
        check(path, "tflite", make_reference(predictor))


class TestWholeExports:
    """`export_run`, with held-out images that need no dataset."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        run = make_run(tmp_path / "run", model=make_model(SHAPE), names=NAMES)
        monkeypatch.setattr(export, "reference", lambda run, predictor, samples: make_reference(predictor, samples))
        return run

    config = ExportConfig(formats="tflite", samples=16)  # SavedModel starts TensorFlow each time, and is proven above

    def left_over(self, run):
        return [path.name for path in run.path.iterdir() if path.name.startswith(".")]

    def test_a_good_one_replaces_all_of_an_earlier_one(self, run):
        run.export.mkdir()
        (run.export / "stale.tflite").write_text("of an older model")
        result, phone = export.export_run(run, self.config)
        stored = json.loads((run.export / "parity.json").read_text())
        assert [entry["artefact"] for entry in stored["artefacts"]] == [result.artefact, phone.artefact]
        assert (result.artefact, phone.artefact) == ("model.tflite", "model.tflite, by MediaPipe")
        assert stored["images"] == 16 and stored["split"] == "test" and stored["artefacts"][0]["agreement"] == 1.0
        assert sorted(path.name for path in run.export.iterdir()) == [
            "MODEL_CARD.md",
            "labels.txt",
            "model.tflite",
            "parity.json",
        ]
        assert not self.left_over(run)

    def test_a_wrong_one_leaves_the_earlier_one(self, run, monkeypatch):
        run.export.mkdir()
        (run.export / "model.tflite").write_text("good")
        replace_writer(monkeypatch, lambda trained, path: tflite.write(make_trained(mutated(shift_bias)), path))
        results = export.export_run(run, self.config)
        assert [bool(result.failures) for result in results] == [True, False]
        assert [path.name for path in run.export.iterdir()] == ["model.tflite"]
        assert (run.export / "model.tflite").read_text() == "good"
        assert not self.left_over(run)

    def test_one_that_fails_midway_leaves_nothing(self, run, monkeypatch):
        def fail(trained, path):
            raise UserError("no such operation")

        replace_writer(monkeypatch, fail)
        with pytest.raises(UserError, match="no such operation"):
            export.export_run(run, self.config)
        assert not run.export.exists() and not self.left_over(run)

    def test_a_full_disk_is_one_clear_line(self, run, monkeypatch):
        """TensorFlow's words for it, without the name of its node."""

        def fail(*arguments, **options):
            raise tf.errors.ResourceExhaustedError(
                None, None, "{{function_node __wrapped__SaveV2}} a/b; No space left on device"
            )

        monkeypatch.setattr(tf.saved_model, "save", fail)
        with pytest.raises(UserError, match=r"^Can't write .*run/export: No space left on device\.$"):
            export.export_run(run, self.config)
        assert not run.export.exists() and not self.left_over(run)

    def test_a_full_disk_names_no_file_that_is_gone(self, run, monkeypatch):
        def fail(trained, path):
            with files.atomic(path):
                raise OSError(errno.ENOSPC, "No space left on device")

        replace_writer(monkeypatch, fail)
        with pytest.raises(UserError, match=r"^Can't write .*run/export: No space left on device\.$"):
            export.export_run(run, self.config)

    @pytest.mark.parametrize(
        "formats, message",
        [("tflite_int9", r"^Unknown format 'tflite_int9'\. Did you mean 'tflite_int8'\? Known: saved_model, tflite, ")],
    )
    def test_unknown_formats_are_named(self, run, formats, message):
        with pytest.raises(UserError, match=message):
            export.export_run(run, ExportConfig(formats=formats))


def replace_writer(monkeypatch, write):
    monkeypatch.setitem(FORMATS, "tflite", dataclasses.replace(FORMATS["tflite"], write=write))


def test_the_fresh_interpreter_has_this_package_nowhere(good, reference, tmp_path, monkeypatch):
    """Even where the working directory of the caller holds a package of that name, and says so loudly."""
    (tmp_path / "keras_imgcls").mkdir()
    (tmp_path / "keras_imgcls" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    files = good[0] / "model.tflite", good[0] / "labels.txt", fresh.store(reference.images, tmp_path)
    answers = fresh.run("fresh_tflite.py", *files, work=tmp_path, options=("ai_edge_litert",))
    imported = set(answers["imported"].tolist())
    assert "ai_edge_litert" in imported and not imported & {"keras_imgcls", "tensorflow", "keras"}
    with pytest.raises(UserError, match="without ai_edge_litert, but ai_edge_litert was imported"):
        fresh.require_absent(answers, ["ai_edge_litert"])
