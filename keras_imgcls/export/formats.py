"""Formats: the doors out of the house. Another one is another row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_imgcls.export import fresh, int8, onnx, saved_model, tflite
from keras_imgcls.export.fresh import Answers
from keras_imgcls.export.reference import Reference
from keras_imgcls.export.trained import Trained


@dataclass(frozen=True)
class Format:
    """One way to write a model, and to run what was written.

    Attributes:
        path: the file or folder below `RUN/export`.
        write: writes it: (model, path).
        answers: runs it without this package, once for each of its inputs: (path, images, a folder to work in).
        max_difference: the largest difference of any probability from the Keras model's that is no fault.
        quantized: whether `--min_agreement_int8` is its limit, in place of `--min_agreement`.
        extra: the extra of the package that it needs; it is written where it is asked for by name.
    """

    path: str
    write: Callable[[Trained, Path], None]
    answers: Callable[[Path, Reference, Path], list[Answers]]
    max_difference: float = 1.0
    quantized: bool = False
    extra: str = ""


# Differences in float32: another order of sums gives 1e-6, a wrong constant far more.
FORMATS = {
    "saved_model": Format(
        "saved_model/1",
        lambda trained, path: saved_model.write(trained.predictor, path),
        fresh.saved_model,
        max_difference=1e-3,
    ),
    "tflite": Format("model.tflite", tflite.write, fresh.tflite_and_phone, max_difference=1e-3),
    "tflite_float16": Format("model_float16.tflite", tflite.write_float16, fresh.tflite, max_difference=2e-2),
    "tflite_dynamic": Format("model_dynamic.tflite", tflite.write_dynamic, fresh.tflite, quantized=True),
    "tflite_int8": Format("model_int8.tflite", int8.write, fresh.tflite_and_phone, quantized=True),
    "keras": Format(
        "model.keras", lambda trained, path: trained.predictor.model.save(path), fresh.plain_keras, max_difference=1e-3
    ),
    "onnx": Format("model.onnx", onnx.write, fresh.onnx, max_difference=1e-3, extra="onnx"),
}
