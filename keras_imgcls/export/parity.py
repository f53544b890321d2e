"""Parity: each export is run in a fresh interpreter, without this package, and held against the Keras model."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.data.decode import decode_image, read_image
from keras_imgcls.data.samples import Samples
from keras_imgcls.evaluation import held_out
from keras_imgcls.inference.predictor import Predictor

MAX_DIFFERENCE = 1e-3  # of a probability, in float32: another order of sums gives 1e-6, a wrong constant far more
BATCH = 64


@dataclass(frozen=True, eq=False)
class Reference:
    """Held-out images and what the Keras model says of them.

    Attributes:
        split: where they come from.
        images: uint8 of shape (n, height, width, channels), the pixels that the model sees.
        encoded: the same images as files: as they lie there, or as lossless PNG where the dataset has no such file.
        probabilities: float64 of shape (n, k), by the plain Keras model on the CPU.
        truth: the class index of each.
        class_names: the names of the k classes.
    """

    split: str
    images: np.ndarray
    encoded: list[bytes]
    probabilities: np.ndarray
    truth: np.ndarray
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Parity:
    """How an export compares with the Keras model.

    Attributes:
        artefact: the file or folder below `RUN/export`, and which of its inputs.
        images: how many were compared.
        agreement: the fraction on which the most probable class has the same name.
        largest_difference: the largest absolute difference of any probability.
        accuracy: the fraction that the export has right.
        size: bytes on the disk.
        failures: why it is not good enough; empty where it is.
    """

    artefact: str
    images: int
    agreement: float
    largest_difference: float
    accuracy: float
    size: int
    failures: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """What `parity.json` holds; it has no failures, for then there is no export."""
        return {name: value for name, value in asdict(self).items() if name != "failures"}


def reference(run: Run, predictor: Predictor, samples: int) -> Reference:
    """Up to `samples` images, evenly over the run's test split; where there is none, over validation or training.

    Raises:
        UserError: the data of the run is gone or has changed.
    """
    present = held_out.recorded_splits(run)
    split = next(name for name in ("test", "validation", "train") if name in present)
    data, ids = held_out.own_samples(run, split)
    chosen = ids[np.unique(np.linspace(0, len(ids) - 1, min(samples, len(ids))).round().astype(int))]
    images = np.concatenate([np.asarray(batch[0]) for batch in held_out.batches(run, data, chosen, BATCH)])
    encoded = [encoded_image(data, row, predictor.image_shape[2]) for row in chosen]
    return Reference(
        split,
        images,
        encoded,
        keras_probabilities(predictor, images),
        data.manifest.classes()[chosen],
        predictor.class_names,
    )


def encoded_image(data: Samples, row: int, channels: int) -> bytes:
    """The bytes of a sample's file, or a PNG of its pixels where there is none that a TensorFlow graph decodes."""
    if data.images is not None:
        return tf.io.encode_png(data.images[row]).numpy()
    path = data.root / data.manifest.sources[row]
    try:
        contents = path.read_bytes()
        decode_image(tf.constant(contents), channels)
    except tf.errors.OpError:
        contents = tf.io.encode_png(read_image(path, channels)).numpy()
    return contents


def keras_probabilities(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    """Probabilities by the Keras model itself, not by the graph that is exported: on the CPU, the softmax in NumPy."""
    with tf.device("CPU:0"):
        logits = [
            predictor.model(images[start : start + BATCH].astype(np.float32), training=False).numpy()
            for start in range(0, len(images), BATCH)
        ]
    scaled = np.concatenate(logits).astype(np.float64) / predictor.temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def check_saved_model(folder: Path, expected: Reference, work: Path, min_agreement: float) -> list[Parity]:
    """The parity of the SavedModel in `folder`, by pixels and by encoded files; `work` is an empty folder to work in.

    Raises:
        UserError: it can't be run.
    """
    np.save(work / "images.npy", expected.images)
    files_folder = work / "files"
    files_folder.mkdir()
    for number, content in enumerate(expected.encoded):
        (files_folder / f"{number:08}").write_bytes(content)
    answers = _run_fresh("fresh_saved_model.py", folder, work / "images.npy", files_folder, work=work)
    _require_absent(answers, ("keras_imgcls",))
    return [
        _compare(name, answers, prefix, expected, folder, min_agreement)
        for name, prefix in (("saved_model, pixels", ""), ("saved_model, files", "byte_"))
    ]


def check_tflite(path: Path, labels: Path, expected: Reference, work: Path, min_agreement: float) -> Parity:
    """The parity of a TFLite file with its labels; `work` is an empty folder to work in.

    Raises:
        UserError: it can't be run.
    """
    np.save(work / "images.npy", expected.images)
    answers = _run_fresh("fresh_tflite.py", path, labels, work / "images.npy", work=work)
    _require_absent(answers, ("keras_imgcls", "tensorflow", "keras"))
    return _compare(path.name, answers, "", expected, path, min_agreement)


def _compare(
    name: str, answers: dict[str, np.ndarray], prefix: str, expected: Reference, path: Path, min_agreement: float
) -> Parity:
    names = np.array(expected.class_names)
    probabilities, chosen = answers[f"{prefix}probabilities"], answers[f"{prefix}chosen"]
    agreement = float((chosen == names[expected.probabilities.argmax(axis=1)]).mean())
    difference = float(np.abs(probabilities - expected.probabilities).max())
    failures = []
    if list(answers["class_names"]) != list(expected.class_names):
        failures.append("its labels are not those of the run, in their order")
    if not agreement >= min_agreement:
        failures.append(
            f"it agrees with the Keras model on {agreement:.2%} of the images, less than {min_agreement:.2%}"
        )
    if not difference <= MAX_DIFFERENCE:  # so that NaN fails too
        failures.append(f"a probability differs by {difference:.2g}, more than {MAX_DIFFERENCE:g}")
    accuracy = float((chosen == names[expected.truth]).mean())
    return Parity(name, len(chosen), agreement, difference, accuracy, _size(path), tuple(failures))


def _run_fresh(script: str, *arguments: Path, work: Path) -> dict[str, np.ndarray]:
    """What a script of this folder answers, run by a new interpreter, elsewhere, and on the CPU."""
    program = Path(__file__).with_name(script).resolve()
    answers = work / "answers.npz"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # -P: modules are not looked for in the script's folder, nor in the working one.
    command = [sys.executable, "-P", program, *(argument.resolve() for argument in arguments), answers.resolve()]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        raise UserError(f"The export {arguments[0].name} can't be run in a fresh interpreter: {reason}")
    with np.load(answers, allow_pickle=False) as stored:
        return dict(stored)


def _require_absent(answers: dict[str, np.ndarray], packages: Sequence[str]) -> None:
    found = sorted(set(packages) & set(answers["imported"].tolist()))
    if found:
        raise UserError(f"An export is to be run without {', '.join(packages)}, but {', '.join(found)} was imported.")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
