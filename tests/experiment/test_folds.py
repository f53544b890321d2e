"""Cross-validation: each image is judged once, by a model that has seen nothing of its group, and all are pooled."""

import csv
import shutil

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

import keras_imgcls
from keras_imgcls.commands import train as command
from keras_imgcls.core import options
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run, open_run
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.samples import Samples
from keras_imgcls.evaluation.intervals import effective_count, wilson
from keras_imgcls.experiment import folds, prepare

SETTINGS = {"epochs": 3, "batch_size": 16, "folds": 3, "deterministic": True, "group_by": r"(v\d+)/"}
MODEL = "plain_cnn(width=4)"


@keras_imgcls.register_dataset
def videos_of_stripes(data_options, seed):
    """120 pictures, 8x8 grey, of two classes in 40 videos of three, and a test split of its own."""
    generator = np.random.default_rng(0)
    classes = np.arange(126) // 3 % 2
    images = generator.integers(0, 160, (126, 8, 8, 1)).astype(np.uint8)
    images[classes == 1, ::2] += 70
    sources = np.array([f"v{number // 3:02}/{number % 3}" for number in range(126)])
    splits = np.where(np.arange(126) < 120, "train", "test")
    return Samples("stripes", Manifest(sources, one_hot(classes, 2), splits, ("plain", "striped")), images)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds") / "run"
    return keras_imgcls.train(MODEL, "videos_of_stripes", run_dir=str(folder), **SETTINGS)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_image_but_those_of_the_test_split_is_held_out_once(run):
    rows = rows_of(run.evaluation / "held_out" / "predictions.csv")
    assert sorted(row["source"] for row in rows) == [f"v{number // 3:02}/{number % 3}" for number in range(120)]
    for fold in (1, 2, 3):
        held_out = {row["source"] for row in rows if row["fold"] == str(fold)}
        manifest = folds.fold_run(run, fold).read_manifest()
        assert {row["source"] for row in manifest if row["split"] == "test"} == held_out
        assert len(held_out) in (39, 42)


def test_training_and_validation_know_nothing_of_the_groups_held_out(run):
    for fold in (1, 2, 3):
        manifest = folds.fold_run(run, fold).read_manifest()
        groups = {
            split: {row["group"] for row in manifest if row["split"] == split}
            for split in ("train", "validation", "test")
        }
        assert all(groups.values())
        assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 40


def test_pooled_numbers_are_those_of_the_pooled_predictions(run):
    metrics, rows = run.read_metrics(), rows_of(run.evaluation / "held_out" / "predictions.csv")
    truth, predicted = ([row[column] for row in rows] for column in ("label", "predicted"))
    pooled = metrics["held_out"]
    assert pooled["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert pooled["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    probabilities = np.array([float(row["label_probability"]) for row in rows])
    assert pooled["loss"] == pytest.approx(-np.log(probabilities).mean(), abs=1e-3)
    right, videos = np.array(truth) == np.array(predicted), np.array([row["source"].split("/")[0] for row in rows])
    worth = effective_count(right, videos)
    interval = wilson(right.mean() * worth, worth)
    assert (pooled["accuracy_low"], pooled["accuracy_high"]) == pytest.approx(interval)
    assert (pooled["count"], metrics["never_held_out"]) == (120, 0)
    table = list(csv.reader((run.evaluation / "held_out" / "confusion_matrix.csv").open()))
    assert np.array_equal(np.array(table)[1:, 1:].astype(int), confusion_matrix(truth, predicted))


def test_each_fold_and_their_spread_are_told(run, capsys):
    metrics = run.read_metrics()
    own = [folds.fold_run(run, fold).read_metrics()["test"] for fold in (1, 2, 3)]
    for told, test in zip(metrics["folds"], own, strict=True):
        assert {name: told[name] for name in test} == test
    accuracies = [test["accuracy"] for test in own]
    assert metrics["spread"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert metrics["spread"]["accuracy"]["deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    command.summarize(run)
    text = capsys.readouterr().out
    assert "fold 3" in text and f"all       120     {metrics['held_out']['accuracy']:.2%}" in text


def test_finished_folds_are_not_repeated(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    (copy / "metrics.json").unlink()
    shutil.rmtree(copy / "fold_3")
    (copy / "fold_2" / "metrics.json").unlink()
    before = (copy / "fold_1" / "model.keras").stat().st_mtime_ns
    assert command.run(TrainConfig(run_dir=str(copy), resume=True)) == 0
    assert (copy / "fold_1" / "model.keras").stat().st_mtime_ns == before
    assert without_times(Run(copy)) == without_times(run)


def test_the_flags_repeat_all_folds_and_one_of_them(run, tmp_path):
    stored = options.read_flagfile(run.flags)
    assert {"--folds=3", "--fold=0", "--mixed_precision=float32", "--image_size=8"} <= set(stored)
    own = folds.fold_run(run, 2)
    again = options.parse(TrainConfig, [f"--flagfile={own.flags}", f"--run_dir={tmp_path / 'again'}"], "")
    assert (again.folds, again.fold) == (3, 2)
    assert command.run(again) == 0
    assert Run(tmp_path / "again").read_metrics()["test"] == own.read_metrics()["test"]


def test_a_model_made_in_python_begins_each_fold_anew(tmp_path):
    seen = []

    class Witness(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append([weight.copy() for weight in self.model.view.get_weights()])

    model = keras_imgcls.build(MODEL, (8, 8, 1), 2)
    settings = {**SETTINGS, "epochs": 1, "folds": 2, "run_dir": str(tmp_path / "run")}
    keras_imgcls.train(model, "videos_of_stripes", callbacks=[Witness()], **settings)
    for one, other in zip(*seen, strict=True):
        assert np.array_equal(one, other)


def test_other_verbs_ask_for_one_of_the_folds(run):
    message = r"is a cross-validation, a model for each fold: choose one \(--run_dir=.*fold_1\), or train"
    with pytest.raises(UserError, match=message):
        keras_imgcls.load_run(run.path)
    assert open_run(folds.fold_run(run, 1).path).class_names == ["plain", "striped"]
    assert keras_imgcls.evaluate(folds.fold_run(run, 1).path)["count"] in (39, 42)


def test_data_that_changed_between_two_folds_is_an_error(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    manifest = tmp_path / "run" / "fold_2" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("v00/0", "v99/0"))
    with pytest.raises(UserError, match=r"The data has changed since .*fold_1 began: fold 2 has other images"):
        command.run(TrainConfig(run_dir=str(tmp_path / "run"), resume=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, r"--folds is 2 or more, and --fold one of them; received --folds=1 --fold=0\."),
        ({"folds": 3, "fold": 4}, r"received --folds=3 --fold=4\."),
        ({"fold": 1}, r"received --folds=0 --fold=1\."),
    ],
)
def test_folds_that_make_no_sense_are_refused(values, message, tmp_path):
    with pytest.raises(UserError, match=message):
        keras_imgcls.train(MODEL, "videos_of_stripes", run_dir=str(tmp_path / "run"), **values)


def test_nothing_trains_all_folds_as_one():
    with pytest.raises(UserError, match=r"--folds=3 is 3 trainings: name one of them with --fold=1\."):
        prepare.prepare(TrainConfig(dataset="videos_of_stripes", folds=3))


def without_times(run):
    metrics = run.read_metrics()
    return {name: value for name, value in metrics.items() if name != "training"}
