"""Export: every artefact is written aside, proven, and only then put in place, all of them together."""

import tempfile
from pathlib import Path

import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.export import parity, saved_model, tflite
from keras_imgcls.export.parity import Parity, Reference
from keras_imgcls.inference.predictor import Predictor, load_run


def export_run(run: Run, samples: int = 500, min_agreement: float = 0.99) -> list[Parity]:
    """Writes `RUN/export` anew and returns how its artefacts compare with the Keras model.

    Where one has failures, nothing is kept of the new export and an earlier one stays. A good one replaces the earlier
    folder as a whole: files of an older model don't stay beside newer ones.

    Raises:
        UserError: the run has no model or no data, an artefact can't be made or run, or the folder can't be written.
    """
    predictor = load_run(run.path)
    expected = parity.reference(run, predictor, samples)
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=run.path) as folder:
            staged = Path(folder) / "export"
            write(predictor, staged)
            results = verify(staged, expected, min_agreement)
            if not any(result.failures for result in results):
                files.write_json(staged / "parity.json", _summary(expected, min_agreement, results))
                files.replace_folder(staged, run.export)
            return results
    except (OSError, tf.errors.OpError) as error:  # TensorFlow says of a full disk that it is exhausted
        reason = getattr(error, "strerror", None) or str(error).rpartition("}} ")[2]
        raise UserError(f"Can't write {run.export}: {reason}.") from error


def require_parity(results: list[Parity]) -> None:
    """Raises UserError, with every failure, where an artefact is not good enough."""
    failures = [f"{result.artefact}: {failure}" for result in results for failure in result.failures]
    if failures:
        raise UserError(f"Nothing was kept of this export. {'; '.join(failures)}.")


def write(predictor: Predictor, folder: Path) -> None:
    """Writes `saved_model/1`, `model.tflite` and `labels.txt` to `folder`."""
    files.write_text(folder / "labels.txt", "".join(f"{name}\n" for name in predictor.class_names))
    saved_model.write(predictor, folder / "saved_model" / "1")
    tflite.write(predictor, folder / "model.tflite")


def verify(folder: Path, expected: Reference, min_agreement: float) -> list[Parity]:
    """Runs what `write` made, each in a fresh interpreter, and compares."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        by_tensorflow = parity.check_saved_model(folder / "saved_model" / "1", expected, Path(first), min_agreement)
        by_litert = parity.check_tflite(
            folder / "model.tflite", folder / "labels.txt", expected, Path(second), min_agreement
        )
    return [*by_tensorflow, by_litert]


def _summary(expected: Reference, min_agreement: float, results: list[Parity]) -> dict:
    return {
        "split": expected.split,
        "images": len(expected.images),
        "min_agreement": min_agreement,
        "max_difference": parity.MAX_DIFFERENCE,
        "artefacts": [result.summary() for result in results],
    }
