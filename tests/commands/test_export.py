import json

import pytest

from keras_imgcls.commands import export
from keras_imgcls.core.config import ExportConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.data import readers
from keras_imgcls.export import export as room
from keras_imgcls.export.parity import Parity
from tests.inference.tiny import make_run


@pytest.fixture
def digits_run(tmp_path):
    run = make_run(tmp_path / "run", names=tuple("0123456789"))
    readers.load(run.config, run.config.seed).manifest.write(run.manifest)
    return run


def test_exports_of_digits_agree_on_the_test_split(digits_run, capsys):
    assert export.run(ExportConfig(run_dir=str(digits_run.path), samples=40, formats="saved_model,tflite")) == 0
    stored = json.loads((digits_run.export / "parity.json").read_text())
    assert stored["split"] == "test" and stored["images"] == 40
    assert {entry["agreement"] for entry in stored["artefacts"]} == {1.0}
    assert max(entry["largest_difference"] for entry in stored["artefacts"]) < 1e-5
    printed = capsys.readouterr().out
    assert "model.tflite" in printed and "100.00%" in printed and str(digits_run.export) in printed
    assert "A greyscale model is not for MediaPipe's ImageClassifier, which takes RGB only" in printed


@pytest.mark.parametrize(
    "interpolation, by_mediapipe, said",
    [
        ("bilinear", True, "trained with --resize=squash --interpolation=bilinear. Trained with"),
        ("mediapipe", False, "on a phone it gets what it gets here."),
        ("bilinear", False, ""),  # pictures that have the model's size already
    ],
)
def test_what_a_phone_gets_is_told(tmp_path, interpolation, by_mediapipe, said):
    run = make_run(tmp_path / "run", channels=3, resize="squash", interpolation=interpolation)
    name = "model.tflite, by MediaPipe" if by_mediapipe else "model.tflite"
    result = Parity(name, 40, 1.0, 0.0, 0.0, 0.9, 0.8, 1.0, 0.0, 10, {}, {}, ())
    lines = " ".join(export._explanations(run, [result]))
    assert said in lines if said else "MediaPipe" not in lines


def test_failures_are_named_below_the_table(digits_run, capsys, monkeypatch):
    bad = Parity("model.tflite", 40, 0.5, 0.3, 0.3, 0.1, 0.0, 0.2, 0.7, 10, {}, {}, ("it agrees on too few",))
    monkeypatch.setattr(room, "export_run", lambda run, config: [bad])
    with pytest.raises(UserError, match=r"Nothing was kept of this export\. model\.tflite: it agrees on too few\.$"):
        export.run(ExportConfig(run_dir=str(digits_run.path)))
    printed = capsys.readouterr().out
    assert "50.00%" in printed and "All agree" not in printed
    with pytest.raises(UserError, match="Nothing was kept"):
        export.export(ExportConfig(run_dir=str(digits_run.path)))
