"""Digits from the command line: train, evaluate, predict, export, each as a user would."""

import csv
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from keras_imgcls.core.run import Run


def test_accuracy_is_far_above_chance_and_printed(digits_run):
    path, printed = digits_run
    test = Run(path).read_metrics()["test"]
    assert test["accuracy"] >= 0.97
    assert test["accuracy_low"] < test["accuracy"] < test["accuracy_high"]
    assert f"{test['accuracy']:.2%}" in printed
    for verb in ("view", "evaluate", "predict", "export"):
        assert f"keras_imgcls {verb} '--run_dir=my run'" in printed


def test_a_run_holds_what_it_promises(digits_run):
    path, _ = digits_run
    run = Run(path)
    names = {entry.name for entry in path.iterdir()}
    assert names >= {
        "config.flags", "labels.txt", "manifest.csv", "model.keras", "history.csv", "metrics.json",
        "checkpoints", "tensorboard", "environment.json", "evaluation",
    }  # fmt: skip
    assert run.class_names == [str(digit) for digit in range(10)]
    assert len(run.read_history()) == run.read_metrics()["training"]["epochs"]
    with open(run.manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1797
    assert [int(row["id"]) for row in rows] == list(range(1797))


def test_the_reported_accuracy_is_that_of_the_saved_model(digits_run):
    """Loaded by Keras alone, on the test rows of the manifest, from scikit-learn's own pixels."""
    path, _ = digits_run
    model = keras.models.load_model(path / "model.keras")
    with open(path / "manifest.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    digits = load_digits()
    indices = [int(row["source"].partition("[")[2].rstrip("]")) for row in rows]
    images = np.round(digits.images[indices] * 255 / 16)[..., None].astype(np.float32)
    right = model.predict(images, verbose=0).argmax(axis=1) == digits.target[indices]
    assert right.mean() == pytest.approx(Run(path).read_metrics()["test"]["accuracy"], abs=1e-9)
    assert [digits.target[index] for index in indices] == [int(row["label"]) for row in rows]


def test_evaluate_gives_the_same_numbers(digits_run, command):
    path, _ = digits_run
    finished = command("evaluate", f"--run_dir={path}", cwd=path.parent)
    assert finished.returncode == 0, finished.stderr
    again = json.loads((path / "evaluation" / "test" / "metrics.json").read_text())
    assert again["accuracy"] == Run(path).read_metrics()["test"]["accuracy"]
    for name in ("predictions.csv", "confusion_matrix.csv", "confusion_matrix.png"):
        assert (path / "evaluation" / "test" / name).is_file()
    with open(path / "evaluation" / "test" / "predictions.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == again["count"]


def test_predict_on_files(digits_run, command, tmp_path):
    path, _ = digits_run
    digits = load_digits()
    folder = tmp_path / "some, digits"
    folder.mkdir()
    for index in range(20):
        pixels = np.round(digits.images[index] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    finished = command(
        "predict",
        f"--run_dir={path}",
        f"--source={folder}/*.png".replace(",", "?"),
        "--topk=2",
        "--format=csv",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    rows = list(csv.DictReader(io.StringIO(finished.stdout)))
    assert list(rows[0]) == ["path", "rank", "label", "probability", "error"]
    assert len(rows) == 40
    first = [row for row in rows if row["rank"] == "1"]
    assert sum(int(row["label"]) == digits.target[index] for index, row in enumerate(first)) >= 19


def test_an_unreadable_file_is_named_and_the_rest_is_done(digits_run, command, tmp_path):
    path, _ = digits_run
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "c.png")
    finished = command("predict", f"--run_dir={path}", f"--source={tmp_path}", "--topk=1", "--format=csv", cwd=tmp_path)
    rows = list(csv.DictReader(io.StringIO(finished.stdout)))
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert finished.returncode == 1


def test_export_is_compared_before_it_is_called_done(digits_run, command):
    path, _ = digits_run
    finished = command("export", f"--run_dir={path}", cwd=path.parent)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert (path / "export" / "saved_model" / "1" / "saved_model.pb").is_file()
    assert (path / "export" / "model.tflite").is_file()
    assert (path / "export" / "labels.txt").read_text().split() == [str(digit) for digit in range(10)]
    assert "1.0" in (path / "export" / "parity.json").read_text()


def test_resuming_a_finished_run_says_so(digits_run, command):
    path, _ = digits_run
    finished = command("train", f"--run_dir={path}", "--resume", cwd=path.parent)
    assert finished.returncode == 0
    assert "is finished" in finished.stdout


def test_no_temporary_file_is_left(digits_run):
    path, _ = digits_run
    assert not [file for file in path.rglob("*") if ".part" in file.name]
