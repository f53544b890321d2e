import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.augment import test_time
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.samples import Samples
from keras_imgcls.evaluation import report
from keras_imgcls.evaluation.metrics import evaluate_predictions
from tests.inference.tiny import digits, make_model

NAMES = ("cat, tabby", 'the "dog"', "eel")


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture
def written(tmp_path):
    truth, guess = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    evaluation = evaluate_predictions(
        2 * one_hot(guess, 3), one_hot(truth, 3), NAMES, np.array([7, 8, 11, 12]), excluded=2
    )
    report.write(
        tmp_path / "r", evaluation, ["a.jpg", "b, c.jpg", "d\ne.jpg", "=1+1.jpg"], {"dataset": "pets", "split": "test"}
    )
    return tmp_path / "r", evaluation


def test_metrics(written):
    folder, evaluation = written
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics == {
        "dataset": "pets", "split": "test", **evaluation.summary(),
        "balanced_accuracy": pytest.approx(5 / 6), "top5_accuracy": None, "excluded": 2,
    }  # fmt: skip


def test_one_row_for_each_prediction_whatever_its_name(written):
    header, *rows = read(written[0] / "predictions.csv")
    assert header == ["id", "source", "label", "predicted", "correct", "probability", "label_probability"]
    sure, other = f"{np.exp(2) / (np.exp(2) + 2):.6f}", f"{1 / (np.exp(2) + 2):.6f}"
    assert rows == [
        ["7", "a.jpg", NAMES[0], NAMES[0], "true", sure, sure],
        ["8", "b, c.jpg", NAMES[0], NAMES[0], "true", sure, sure],
        ["11", "d\ne.jpg", NAMES[0], NAMES[1], "false", sure, other],
        ["12", "=1+1.jpg", NAMES[1], NAMES[1], "true", sure, sure],
    ]


def test_names_of_classes_name_no_files(tmp_path):
    """And cells hold them as they are, so that they can be joined by name."""
    names = ["..", "../../escaped", "/tmp/escaped", "=cmd|' /C calc'!A0"]
    evaluation = evaluate_predictions(np.eye(4), np.eye(4), names, np.arange(4))
    report.write(tmp_path / "x" / "y" / "r", evaluation, ["a.jpg"] * 4, {})
    assert sorted(path.parent for path in tmp_path.rglob("*.*")) == [tmp_path / "x" / "y" / "r"] * 5
    assert [row[2] for row in read(tmp_path / "x" / "y" / "r" / "predictions.csv")[1:]] == names


def test_classes_and_confusion(written):
    assert read(written[0] / "classes.csv") == [
        ["class", "precision", "recall", "f1", "support"],
        [NAMES[0], "1.000000", "0.666667", "0.800000", "3"],
        [NAMES[1], "0.500000", "1.000000", "0.666667", "1"],
        [NAMES[2], "", "", "", "0"],
    ]
    assert read(written[0] / "confusion_matrix.csv") == [
        ["true \\ predicted", *NAMES], [NAMES[0], "2", "1", "0"], [NAMES[1], "0", "1", "0"], [NAMES[2], "0", "0", "0"],
    ]  # fmt: skip
    assert Image.open(written[0] / "confusion_matrix.png").format == "PNG"


def test_the_printed_tables(written):
    text = report.text(written[1])
    assert "accuracy           75.00%  95 % interval 30.06% to 95.44%" in text
    assert "images             4       2 excluded" in text
    assert f"{NAMES[2]}         –          –       –      0" in text


def test_of_many_classes_the_worst_are_printed():
    truth = np.arange(200) % 100
    guess = np.where(truth == 73, 0, truth)
    evaluation = evaluate_predictions(
        one_hot(guess, 100), one_hot(truth, 100), [f"class {index}" for index in range(100)]
    )
    text = report.text(evaluation)
    assert "The 50 of 100 classes with the lowest recall:" in text
    assert text.splitlines()[-50].startswith("class 73 ")


def test_a_split_is_evaluated_by_the_model_itself(tmp_path):
    model, images = make_model(), digits(30)
    right = model.predict(images, verbose=0).argmax(axis=1)
    labels = one_hot(np.where(np.arange(30) < 6, (right + 1) % 10, right), 10)
    sources, splits = np.array([f"x[{index}]" for index in range(30)]), np.array(["test"] * 30)
    manifest = Manifest(sources, labels, splits, tuple("abcdefghij"))
    samples = Samples("x", manifest, images, excluded=(("torn.png", "truncated"),))
    batches = [(images[at : at + 7], labels[at : at + 7], np.arange(at, min(at + 7, 30))) for at in range(0, 30, 7)]
    evaluation = report.evaluate_split(model, batches, samples, "test", tmp_path / "test")
    assert evaluation.accuracy == 24 / 30
    assert json.loads((tmp_path / "test" / "metrics.json").read_text())["excluded"] == 1
    assert [row[4] for row in read(tmp_path / "test" / "predictions.csv")[1:]] == ["false"] * 6 + ["true"] * 24


def test_test_time_augmentation_is_told_beside_the_plain_accuracy(tmp_path):
    """Labels are what the mean over the image and its mirror image says, computed here by Keras itself."""
    model, images = make_model(), digits(30)
    logits = (model.predict(images, verbose=0) + model.predict(images[:, :, ::-1], verbose=0)) / 2
    assert (logits.argmax(axis=1) != model.predict(images, verbose=0).argmax(axis=1)).any()
    labels = one_hot(logits.argmax(axis=1), 10)
    manifest = Manifest(
        np.array([f"x[{index}]" for index in range(30)]), labels, np.array(["test"] * 30), (*"abcdefghij",)
    )
    batches = [(images, labels, np.arange(30))]
    views = test_time.build("mirror", 1, 0)
    evaluation = report.evaluate_split(model, batches, Samples("x", manifest, images), "test", tmp_path, views)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["tta_accuracy"] == 1 and found["tta_accuracy_low"] < 1 and found["accuracy"] < 1
    assert "with test-time augmentation" in report.text(evaluation)
