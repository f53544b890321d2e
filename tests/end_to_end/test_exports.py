"""What was trained here answers the same elsewhere: each export, on raw files, where this package can't be imported."""

import csv
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
ELSEWHERE = Path(__file__).with_name("elsewhere.py")
EXACT, CLOSE, QUANTIZED = (1.0, 1e-3), (0.99, 0.02), (0.95, 1.0)  # least agreement, largest difference
ARTEFACTS = {
    "saved_model/1": EXACT,
    "model.keras": EXACT,
    "model.onnx": EXACT,
    "model.tflite": EXACT,
    "model_float16.tflite": CLOSE,
    "model_dynamic.tflite": QUANTIZED,
    "model_int8.tflite": QUANTIZED,
}


@pytest.fixture(scope="module")
def flowers(flowers_run, command):
    """All exports of the run on photos of many sizes and orientations, and what bin/predict says of them."""
    run, photos = flowers_run
    return exported(command, run), *predicted(command, run, photos)


@pytest.fixture(scope="module")
def cifar10(command, shared_data, tmp_path_factory):
    """The same for CIFAR-10 after two epochs on a tenth of it, and test images as PNG files."""
    import keras_imgcls

    folder, source = tmp_path_factory.mktemp("cifar"), shared_data("cifar10")
    trained = command(
        "train", "--dataset=cifar10", f"--data_dir={source}", "--model=resnet20(width=8)", "--fraction=0.1", "--epochs=2",
        "--interpolation=mediapipe", "--run_dir=run", cwd=folder,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    data = keras_imgcls.load_data("cifar10", data_dir=str(source))
    (folder / "photos").mkdir()
    for row in np.flatnonzero(data.manifest.splits == "test")[:300]:
        Image.fromarray(data.images[row]).save(folder / "photos" / f"{row}.png")
    return exported(command, folder / "run"), *predicted(command, folder / "run", folder / "photos")


def exported(command, run):
    """The folder of all exports; `export` itself has compared them with the Keras model."""
    names = ["saved_model", "tflite", "tflite_float16", "tflite_dynamic", "tflite_int8", "keras"]
    names += ["onnx"] if importlib.util.find_spec("tf2onnx") else []
    finished = command("export", f"--run_dir={run}", f"--formats={','.join(names)}", cwd=run.parent)
    assert finished.returncode == 0, finished.stderr
    return run / "export"


def predicted(command, run, photos):
    """The files in `photos`, and their probabilities by `bin/predict`, of shape (n, classes)."""
    labels = (run / "labels.txt").read_text().splitlines()
    flags = [f"--run_dir={run}", f"--source={photos}", "--format=csv", f"--topk={len(labels)}"]
    finished = command("predict", *flags, cwd=run.parent)
    assert finished.returncode == 0, finished.stderr
    rows = list(csv.DictReader(io.StringIO(finished.stdout)))
    paths = list(dict.fromkeys(row["path"] for row in rows))
    answers = np.zeros((len(paths), len(labels)))
    for row in rows:
        answers[paths.index(row["path"]), labels.index(row["label"])] = float(row["probability"])
    assert len(rows) == answers.size
    return paths, answers


@pytest.mark.parametrize("name", ARTEFACTS)
@pytest.mark.parametrize("dataset", ["flowers", "cifar10"])
def test_an_export_answers_as_bin_predict_where_this_package_is_not(dataset, name, request, tmp_path):
    folder, paths, expected = request.getfixturevalue(dataset)
    if not (folder / name).exists():
        pytest.skip("tf2onnx is absent")
    (tmp_path / "paths.txt").write_text("".join(f"{path}\n" for path in paths))
    command = [sys.executable, "-I", ELSEWHERE, folder / name, tmp_path / "paths.txt", tmp_path / "answers.npz"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    with np.load(tmp_path / "answers.npz") as stored:
        probabilities, imported = stored["probabilities"], set(stored["imported"].tolist())
    assert "keras_imgcls" not in imported
    least, most = ARTEFACTS[name]
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1)).mean() >= least
    assert np.abs(probabilities - expected).max() < most
    assert len(np.unique(expected.argmax(axis=1))) >= 5, "few answers: little would be caught"
