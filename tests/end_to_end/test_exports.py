"""What was trained here answers the same elsewhere: each export, on raw files, where this package can't be imported."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_imgcls.core.run import Run
from keras_imgcls.data.decode import read_image
from keras_imgcls.inference.exported import load_exported
from tests.export.test_metadata import classify

pytestmark = pytest.mark.slow
ELSEWHERE = Path(__file__).with_name("elsewhere.py")
EXACT, CLOSE, QUANTIZED = (1.0, 1e-3), (0.99, 0.02), (0.9, 1.0)  # least agreement, largest difference
ARTEFACTS = {
    "saved_model/1": EXACT,
    "model.keras": EXACT,
    "model.onnx": EXACT,
    "model.tflite": EXACT,
    "model_float16.tflite": CLOSE,
    "model_dynamic.tflite": QUANTIZED,
    "model_int8.tflite": QUANTIZED,
}
CASES = [
    *(("flowers", name) for name in ARTEFACTS),
    *(("cifar10", name) for name in ("saved_model/1", "model.tflite", "model_int8.tflite")),
]


@pytest.fixture(scope="module")
def flowers(flowers_export, command):
    """All exports of the run on photos of many sizes and orientations, and what bin/predict says of them."""
    run, photos = flowers_export
    return run / "export", *predicted(command, run, photos)


@pytest.fixture(scope="module")
def cifar10(command, shared_data, tmp_path_factory):
    """Exports after two epochs on a tenth of CIFAR-10, and what bin/predict says of test images as PNG files."""
    import keras_imgcls

    folder, source = tmp_path_factory.mktemp("cifar"), shared_data("cifar10")
    train = ["--model=resnet20(width=8)", "--fraction=0.1", "--epochs=2", "--interpolation=mediapipe", "--run_dir=run"]
    finished = command("train", "--dataset=cifar10", f"--data_dir={source}", *train, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    # So little training leaves many a close call, which int8 may take otherwise.
    export = ["--formats=saved_model,tflite,tflite_int8", "--min_agreement_int8=0.9"]
    finished = command("export", "--run_dir=run", *export, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    data = keras_imgcls.load_data("cifar10", data_dir=str(source))
    (folder / "photos").mkdir()
    for row in np.flatnonzero(data.manifest.splits == "test")[:300]:
        Image.fromarray(data.images[row]).save(folder / "photos" / f"{row}.png")
    return folder / "run" / "export", *predicted(command, folder / "run", folder / "photos")


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


@pytest.mark.parametrize("dataset, name", CASES)
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


@pytest.mark.parametrize("name", ["model.tflite", "model_int8.tflite"])
def test_a_phone_gives_a_photo_the_label_that_bin_predict_gives(name, flowers_export):
    """By MediaPipe's ImageClassifier, for a model that `photos.flags` trained: it samples photos as phones do."""
    run, photos = flowers_export
    exported = load_exported(run / "export" / name)
    paths = sorted(photos.glob("*/*/*.jpg"))
    expected = exported.predict(paths)
    scores = classify(run / "export" / name, [read_image(path, 3) for path in paths], exported.class_names)
    agrees = scores.argmax(axis=1) == expected.argmax(axis=1)
    assert len(agrees) == 186 and agrees.mean() >= 0.99
    assert np.abs(scores - expected).max() < (0.05 if name == "model.tflite" else 0.1)
    assert len(np.unique(expected.argmax(axis=1))) == 5


def test_a_network_that_int8_hurts_is_mended_on_the_way(command, tmp_path):
    """From `bin/train` to the card: one channel of each block is large, so that plain int8 has few levels for the others.

    Fine-tuning is tried first, then layers in float; what holds is kept.
    """
    finished = command(
        "train", "--dataset=digits", "--model=resnet20(width=8)", "--epochs=12", "--run_dir=run", cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    run = Run(tmp_path / "run")
    model = keras.models.load_model(run.model)
    for layer in model.layers:
        if layer.name.endswith("_norm1"):
            factors = np.where(np.arange(layer.gamma.shape[0]) == 0, 200.0, 1.0).astype("float32")
            layer.gamma.assign(layer.gamma * factors)
            layer.beta.assign(layer.beta * factors)
            kernel = model.get_layer(layer.name.replace("_norm1", "_conv2")).kernel
            kernel.assign(kernel / factors[:, None])
    model.save(run.model)
    finished = command(
        "export",
        "--run_dir=run",
        "--formats=tflite_int8",
        "--max_accuracy_drop=1",
        "--min_agreement_int8=0.5",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    parity = json.loads((run.export / "parity.json").read_text())
    statement, (made,) = parity["statements"]["tflite_int8"], parity["artefacts"]
    lost = float(re.search(r"after training with \d+ calibration images it loses ([\d.]+)%", statement)[1])
    assert lost > 20 and "quantization-aware fine-tuning" in statement and "; kept: the " in statement
    assert made["accuracy"] > parity["keras_accuracy"] - 0.03
    assert "quantization-aware fine-tuning" in (run.export / "MODEL_CARD.md").read_text()
