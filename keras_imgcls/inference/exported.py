"""Exported files as predictors: what `bin/export` wrote, run by TensorFlow or LiteRT, with the labels that lie inside."""

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.inference.base import BasePredictor

LABELS, SERVING = "labels.txt", "serving.json"
SIGNATURE, IMAGE, PROBABILITIES = "serving_default", "image", "probabilities"


def labels_text(predictor: BasePredictor) -> str:
    """`labels.txt`: the names of the classes, one a line, in the order of the probabilities."""
    return "".join(f"{name}\n" for name in predictor.class_names)


def serving_text(predictor: BasePredictor) -> str:
    """`serving.json`, which lies in every export beside `labels.txt`: how a picture becomes its pixels, and when it is unsure."""
    return json.dumps(
        {
            "image_shape": predictor.image_shape,
            "resize": predictor.resize,
            "interpolation": predictor.interpolation,
            "min_confidence": predictor.min_confidence,
        }
    )


def load_exported(path: str | Path) -> BasePredictor:
    """The predictor of a SavedModel folder (or of the folder of its versions), a `.tflite` or an `.onnx` file.

    Raises:
        UserError: there is none, it can't be loaded, or it is not one that `bin/export` wrote.
    """
    path = Path(path)
    if path.is_file() and path.suffix in FILES:
        return FILES[path.suffix](path)
    versions = [folder for folder in (path, *_versions(path)) if (folder / "saved_model.pb").is_file()]
    if not versions:
        raise UserError(f"{path} is no SavedModel folder and no .tflite or .onnx file.")
    return SavedModelPredictor(versions[0])


class SavedModelPredictor(BasePredictor):
    """A SavedModel, run by TensorFlow. `folder` holds its `saved_model.pb`."""

    def __init__(self, folder: Path) -> None:
        """Loads it.

        Raises:
            UserError: it can't be loaded, or is not one that `bin/export` wrote.
        """
        assets = {name: folder / "assets" / name for name in (LABELS, SERVING)}
        super().__init__(**_described(folder, {n: p.read_bytes() for n, p in assets.items() if p.is_file()}))
        try:
            self._model = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow raises whatever its many parts raise
            raise UserError(f"{folder} can't be loaded: {_first_line(error)}") from error
        signature = self._model.signatures.get(SIGNATURE)
        if signature is None or PROBABILITIES not in signature.structured_outputs:
            raise UserError(f"{folder} has no signature {SIGNATURE} that answers {PROBABILITIES}.")
        self._signature = signature

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return self._signature(**{IMAGE: tf.convert_to_tensor(pixels)})[PROBABILITIES].numpy()


class TFLitePredictor(BasePredictor):
    """A TFLite file, run by LiteRT on all cores, one image at a time."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Loads it; `threads` 0 is one for each core.

        Raises:
            UserError: it can't be loaded, or is not one that `bin/export` wrote.
        """
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(**_described(path, _packed(path)))
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
            self._runner = self._interpreter.get_signature_runner(SIGNATURE)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path} can't be loaded: {_first_line(error)}") from error
        self._input = self._runner.get_input_details()[IMAGE]
        self._output = self._runner.get_output_details()[PROBABILITIES]

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        images = pixels.astype(self._input["dtype"])
        raw = np.concatenate([self._runner(**{IMAGE: image[None]})[PROBABILITIES] for image in images])
        scale, zero = self._output["quantization"]
        return (raw.astype(np.float32) - zero) * scale if raw.dtype == np.uint8 else raw


class OnnxPredictor(BasePredictor):
    """An ONNX file, run by onnxruntime on the CPU."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Loads it; `threads` 0 is one for each core.

        Raises:
            UserError: onnxruntime isn't there, or the file can't be loaded or is not one that `bin/export` wrote.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                "ONNX files are run by onnxruntime, which isn't installed: pip install 'keras_imgcls[onnx]'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise UserError(f"{path} can't be loaded: {_first_line(error)}") from error
        stored = self._session.get_modelmeta().custom_metadata_map
        super().__init__(**_described(path, {name: text.encode() for name, text in stored.items()}))

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return self._session.run([PROBABILITIES], {IMAGE: pixels})[0]


FILES = {".tflite": TFLitePredictor, ".onnx": OnnxPredictor}


def _versions(path: Path) -> list[Path]:
    """The version folders below `path`, the newest first."""
    numbers = [folder for folder in path.iterdir() if folder.name.isdecimal()] if path.is_dir() else []
    return sorted(numbers, key=lambda folder: int(folder.name), reverse=True)


def _packed(path: Path) -> dict[str, bytes]:
    """The files packed into a TFLite file, in the layout of its metadata: a ZIP archive at its end."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in (LABELS, SERVING) if name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be used: it holds no labels ({error}).") from error


def _described(path: Path, found: dict[str, bytes]) -> dict[str, Any]:
    """The arguments of a predictor, from what lies in an export."""
    if LABELS not in found or SERVING not in found:
        missing = ", ".join(sorted({LABELS, SERVING} - set(found)))
        raise UserError(f"{path} was not written by bin/export: it holds no {missing}.")
    names: Sequence[str] = found[LABELS].decode().removesuffix("\n").split("\n")
    return {"class_names": names, **json.loads(found[SERVING])}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
