"""Export: the model of a run as files that run without this package, proven before they are kept."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from keras_imgcls import startup
from keras_imgcls.core.config import ExportConfig
from keras_imgcls.core.console import duration, note, table
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.run import Run, open_run

if TYPE_CHECKING:
    from keras_imgcls.export.parity import Parity

USAGE = """Export the model of a run.

  bin/export --run_dir=RUN

Writes to RUN/export/:

  saved_model/1         TensorFlow, TF Serving: takes pixels or encoded files
  model.tflite          phones: float32, one image of pixels 0-255
  model_float16.tflite  half the size
  model_dynamic.tflite  a quarter of the size, int8 weights
  model_int8.tflite     a quarter of the size and the fastest on phones: all int8, takes bytes of pixels as they are
  model.keras           Keras, on TensorFlow, PyTorch or JAX: pixels 0-255 to logits
  model.onnx            onnxruntime and others; where --formats names onnx, which needs the extra of that name
  labels.txt            the classes; each TFLite file has them inside too, with metadata for MediaPipe Tasks
  parity.json           what was measured
  MODEL_CARD.md         what the model is, from the run: data, classes, accuracy, training, exports
  web/                  with --web: a page that runs the model in a browser; put it on any file server

Each is first run in a fresh interpreter on held-out images, from their raw files, and compared with the Keras model;
where one is not good enough, nothing is kept and the exit code is 1."""
CONFIG = ExportConfig
HEADER = ("export", "images", "agreement", "largest difference", "accuracy (95 %)", "size", "ms, 1 thread", "2 threads")


def run(config: ExportConfig) -> int:
    """Exports and prints how the artefacts compare with the Keras model.

    Raises:
        UserError: one of them does not agree; nothing is kept then.
    """
    began = time.monotonic()
    trained, results = _exported(config)
    from keras_imgcls.export.export import require_parity

    note(table([_row(result) for result in results], HEADER))
    for line in _explanations(trained, results):
        note(line)
    require_parity(results)
    note(f"\nAll are within their limits. Export: {trained.export} ({duration(time.monotonic() - began)})")
    return 0


def export(config: ExportConfig) -> Path:
    """Exports and returns the folder.

    Raises:
        UserError: an artefact does not agree with the Keras model; nothing is kept then.
    """
    trained, results = _exported(config)
    from keras_imgcls.export.export import require_parity

    require_parity(results)
    return trained.export


def _exported(config: ExportConfig) -> tuple[Run, list["Parity"]]:
    trained = open_run(config.run_dir)
    load_plugins(trained.config.plugin)
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.export.export import export_run

    return trained, export_run(trained, config)


def _explanations(trained: Run, results: list["Parity"]) -> list[str]:
    """What the table means."""
    lines = [
        "Agreement: with the Keras model's class. Largest difference: of any probability. ms: for one image, 50th and 95th",
        "percentile, with 1 and with 2 threads.",
    ]
    if any(result.artefact.endswith("by MediaPipe") for result in results):
        lines += [
            "By MediaPipe: what its ImageClassifier gets on a phone. It squashes the whole picture, bilinear, not antialiased;",
            f"this model was trained with --resize={trained.config.resize} --interpolation={trained.config.interpolation}. "
            "Trained with --resize=squash --interpolation=mediapipe, a model gets there what it gets here.",
        ]
    elif (trained.config.channels, trained.config.resize, trained.config.interpolation) == (3, "squash", "mediapipe"):
        lines.append(
            "MediaPipe's ImageClassifier makes the same pixels of a picture: on a phone it gets what it gets here."
        )
    if trained.config.channels == 1:
        lines.append(
            "A greyscale model is not for MediaPipe's ImageClassifier, which takes RGB only: feed it with LiteRT."
        )
    return lines


def _row(result: "Parity") -> tuple[str, ...]:
    return (
        result.artefact,
        f"{result.images:,}",
        f"{result.agreement:.2%}",
        f"{result.largest_difference:.1e}",
        f"{result.accuracy:.2%} ({result.accuracy_low:.1%} to {result.accuracy_high:.1%})",
        f"{result.size / 1e6:,.2f} MB",
        *(_times(result, threads) for threads in "12"),
    )


def _times(result: "Parity", threads: str) -> str:
    times = result.latency.get(threads)
    return f"{times['p50']:.2f} {times['p95']:.2f}" if times else ""
