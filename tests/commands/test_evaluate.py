import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.commands import evaluate
from keras_imgcls.core.config import EvaluateConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.data import readers
from keras_imgcls.inference.predictor import load_run
from tests.inference.tiny import make_run

DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run over the digits, its split recorded, its network not trained."""
    run = make_run(tmp_path_factory.mktemp("evaluate") / "run", names=DIGITS)
    readers.load(run.config, run.config.seed).manifest.write(run.manifest)
    return run


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_recorded_split(digits_run, capsys, split):
    assert evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), split=split)) == 0
    folder = digits_run.evaluation / split
    recorded = [row for row in rows(digits_run.manifest) if row["split"] == split]
    metrics, predictions = json.loads((folder / "metrics.json").read_text()), rows(folder / "predictions.csv")
    assert [(row["id"], row["source"], row["label"]) for row in predictions] == [
        (row["id"], row["source"], row["label"]) for row in recorded
    ]
    assert metrics["count"] == len(recorded) and (metrics["dataset"], metrics["split"]) == ("digits", split)
    right = np.mean([row["label"] == row["predicted"] for row in predictions])
    assert metrics["accuracy"] == pytest.approx(right)
    printed = capsys.readouterr().out
    assert f"{right:.2%}" in printed and str(folder) in printed


def photos(folder, names, count=3):
    for index, name in enumerate(names):
        for number in range(count):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(10 * index + number).integers(0, 256, (9, 12), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def test_a_folder_without_splits_is_taken_whole(digits_run, tmp_path, capsys):
    """Its classes are fewer and sorted otherwise than the model's: they are joined by name."""
    photos(tmp_path / "more", ["7", "2"])
    assert evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), data_dir=str(tmp_path / "more"))) == 0
    found = rows(digits_run.evaluation / "more" / "predictions.csv")
    assert [row["source"] for row in found] == [f"{name}/{number}.png" for name in "27" for number in range(3)]
    assert [row["label"] for row in found] == ["2"] * 3 + ["7"] * 3
    expected = load_run(digits_run.path).predict([tmp_path / "more" / row["source"] for row in found])
    assert [row["predicted"] for row in found] == [DIGITS[index] for index in expected.argmax(axis=1)]
    np.testing.assert_allclose([float(row["probability"]) for row in found], expected.max(axis=1), atol=2e-6)
    assert "more, all" in capsys.readouterr().out


def test_of_a_folder_with_splits_the_test_split(digits_run, tmp_path):
    photos(tmp_path / "split" / "train", "12", 2)
    photos(tmp_path / "split" / "test", "12", 1)
    assert (
        evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), data_dir=str(tmp_path / "split"), name="mine")) == 0
    )
    assert len(rows(digits_run.evaluation / "mine" / "predictions.csv")) == 2


def test_an_unreadable_file_stops_or_is_excluded_and_counted(digits_run, tmp_path):
    photos(tmp_path / "torn", "12")
    (tmp_path / "torn" / "1" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(UserError, match=r"1/x\.png"):
        evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), data_dir=str(tmp_path / "torn")))
    evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), data_dir=str(tmp_path / "torn"), on_bad_image="exclude"))
    metrics = json.loads((digits_run.evaluation / "torn" / "metrics.json").read_text())
    assert (metrics["count"], metrics["excluded"]) == (6, 1)


def test_unknown_classes_are_said(digits_run, tmp_path):
    photos(tmp_path / "pets", ["cat", "1"])
    with pytest.raises(UserError, match=r"The model has no class 'cat'.* It knows: 0, 1, 2"):
        evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), data_dir=str(tmp_path / "pets")))


def test_the_digits_themselves_are_never_evaluated_whole(digits_run):
    """`--dataset=digits` names the run's own data: its test split counts, not the training images beside it."""
    evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), dataset="digits", name="again"))
    metrics = json.loads((digits_run.evaluation / "again" / "metrics.json").read_text())
    assert (
        metrics["count"] == sum(row["split"] == "test" for row in rows(digits_run.manifest))
        and metrics["split"] == "test"
    )


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", "/tmp/x"])
def test_results_stay_in_the_run(digits_run, name):
    with pytest.raises(UserError, match="--name is the name of one folder below RUN/evaluation"):
        evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), name=name))


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("", "/data/photos", "test"), "photos"),
        (("", "/data/photos/test", "all"), "photos-test"),
        (("", "/data/photos", "validation"), "photos-validation"),
        (("tfds:cats/2:1.0", "", "test"), "tfds-cats-2-1.0"),
        (("", "/", "all"), "other"),
    ],
)
def test_names_of_folders(arguments, expected):
    assert evaluate.other_name(*arguments) == expected


def test_training_images_are_warned_of_once(digits_run, capsys, monkeypatch):
    """The run's own images under another name, as after a move of the data."""
    monkeypatch.setattr("keras_imgcls.evaluation.held_out.is_own", lambda *arguments: False)
    evaluate.run(EvaluateConfig(run_dir=str(digits_run.path), dataset="digits", name="moved"))
    trained = sum(row["split"] == "train" for row in rows(digits_run.manifest))
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert warnings == [
        f"warning: {trained:,} of 1,797 images have names of training images: if they are those, it is no test."
    ]
