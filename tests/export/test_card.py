"""The model card says what the run recorded, and says of the rest that it is not stated."""

import json

import pytest

from keras_imgcls.core import files
from keras_imgcls.data import readers
from keras_imgcls.export import card
from tests.inference.tiny import NAMES, make_run

PARITY = {
    "date": "2026-11-24",
    "split": "test",
    "images": 359,
    "keras_accuracy": 0.875,
    "data_sha256": "5a" * 32,
    "statements": {"tflite_int8": "quantized after training with 302 images it loses 2 %; with stem, stage1 in float nothing"},
    "artefacts": [
        {
            "artefact": "model_int8.tflite", "images": 359, "agreement": 0.9944, "largest_difference": 0.03125,
            "accuracy": 0.87, "accuracy_low": 0.831, "accuracy_high": 0.902, "size": 1_234_567,
        }
    ],
}  # fmt: skip
TEST = {"accuracy": 0.9123, "accuracy_low": 0.8811, "accuracy_high": 0.9355, "loss": 0.3456, "count": 359}


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path / "run", names=tuple("0123456789"), mixed_precision="mixed_bfloat16", min_confidence=0.6)
    readers.load(run.config, run.config.seed).manifest.write(run.manifest)
    run.metrics.write_text(json.dumps({"test": TEST, "training": {"epochs": 7, "seconds": 65.0}, "excluded": 2}))
    run.environment.write_text(json.dumps({"python": "3.11.9", "keras": "3.15.1"}))
    files.write_json(run.evaluation / "test" / "metrics.json", {"balanced_accuracy": 0.9012})
    (run.evaluation / "test" / "classes.csv").write_text(
        "class,precision,recall,f1,support\n3,1,0.75,,36\n5,1,0.9,,30\n"
    )
    return run


def test_what_the_run_knows_is_there(run):
    page = card.text(run, PARITY, "Counting | sorting.")
    for said in (
        "# Model card: resnet20",
        "8 x 8 pixels, grey, grey levels 0-255",
        "squash, bilinear interpolation",
        "| called unsure | below 0.6 |",
        "## Intended use\n\nCounting \\| sorting.",
        "It takes grey images; MediaPipe's ImageClassifier",
        "Lowest recall on the test split: 75.0% of 36 images of 3.",
        files.digest(run.manifest),
        f"| SHA-256 of the images at the export | `{'5a' * 32}` |",
        "## Quantization\n\nIn `model_int8.tflite` weights are int8, per channel",
        "Here: quantized after training with 302 images it loses 2 %; with stem, stage1 in float nothing.",
        "| test | 91.23% | 88.11% to 93.55% | 90.12% | 0.3456 | 359 |",
        "| precision of training | mixed_bfloat16 |",
        "| epochs | 7 |",
        "| time | 1:05 min |",
        "| keras | 3.15.1 |",
        run.flags.read_text().strip(),
        "| model_int8.tflite | 1.23 MB | 99.44% | 3.1e-02 | 87.00% (83.1% to 90.2%) |",
        "359 images of the test split, of which the Keras model has 87.50% right",
    ):
        assert said in page
    rows = [line for line in page.splitlines() if line.startswith("| 7 |")]
    manifest = run.manifest.read_text().splitlines()
    counts = [sum(f",7,{split}" in line for line in manifest) for split in ("train", "validation", "test")]
    assert rows == [f"| 7 | {counts[0]} | {counts[1]} | {counts[2]} |"]


def test_what_it_does_not_know_is_not_stated(tmp_path):
    run = make_run(tmp_path / "run")
    run.metrics.unlink()
    page = card.text(run, {name: value for name, value in PARITY.items() if name not in ("statements", "data_sha256")})
    assert "images at the export | not stated |" in page and "## Quantization" not in page
    assert "## Intended use\n\nnot stated" in page and "## Accuracy\n\nnot stated" in page
    assert "| time | not stated |" in page and "Lowest recall" not in page
    assert "(sources, labels, splits) | not stated |" in page


def test_names_stay_in_their_cells(tmp_path):
    names = ("a|b", "<script>", "`c", *NAMES[3:])
    page = card.text(make_run(tmp_path / "run", names=names), PARITY)
    assert "| a\\|b |" in page and "<script>" not in page


def test_of_many_classes_the_rest_is_counted(tmp_path):
    run = make_run(tmp_path / "run", names=tuple(f"class {index:02}" for index in range(30)))
    page = card.text(run, PARITY)
    assert "class 19" in page and "class 20" not in page and "| 10 others |" in page
