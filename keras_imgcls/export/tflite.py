"""TFLite: the network as one file for phones and small devices, in float32, float16, with int8 weights, or all int8."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_imgcls.core import files
from keras_imgcls.core.console import quiet
from keras_imgcls.core.errors import UserError
from keras_imgcls.export import metadata
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.exported import serving_text

Converter = tf.lite.TFLiteConverter
INPUT_QUANTIZATION, OUTPUT_QUANTIZATION = (1.0, 0), (1 / 256, 0)  # grey levels as they are; probabilities


def write(trained: Trained, path: Path) -> None:
    """Writes the float32 TFLite file of a model to `path`.

    Its signature `serving_default` takes `image`, float32 of shape (1, height, width, channels), grey levels 0-255, and
    answers `probabilities`, float32 of shape (1, classes), in the order of `labels.txt`. One image at a time: that is
    what phones feed, and the delegates for GPUs and neural processors refuse batches whose size is open.

    Raises:
        UserError: the network has an operation that plain TFLite doesn't know.
    """
    save(trained, convert(trained), path)


def write_float16(trained: Trained, path: Path) -> None:
    """Writes the file with weights in float16: half the size. Input, output and errors are those of `write`."""

    def choose(converter: Converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    save(trained, convert(trained, choose), path)


def write_dynamic(trained: Trained, path: Path) -> None:
    """Writes the file with int8 weights and activations that are quantized when it runs ("dynamic range")."""

    def choose(converter: Converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    save(trained, convert(trained, choose), path)


def int8(trained: Trained) -> bytes:
    """The content of the file in which all is int8: weights per channel, activations by the ranges of calibration images.

    `image` is uint8, grey levels 0-255 as they are, and `probabilities` are uint8, in 256ths. It has no metadata yet.

    Raises:
        UserError: an operation is unknown to plain TFLite in int8, or there are no training images to calibrate with.
    """

    def choose(converter: Converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: samples(trained.calibration)
        if not trained.allow_select_ops:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8

    model = convert(trained, choose)
    require_quantization(model)
    return model


def samples(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    """`images` one by one, as converters want them."""
    return ([image[None].astype(np.float32)] for image in images)


def require_quantization(model: bytes) -> None:
    """Holds that bytes of pictures go in as they are, and that 256ths come out.

    Raises:
        UserError: the converter chose something else.
    """
    interpreter = Interpreter(model_content=model)
    (image,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()
    for details, expected in ((image, INPUT_QUANTIZATION), (probabilities, OUTPUT_QUANTIZATION)):
        if details["dtype"] is not np.uint8 or details["quantization"] != expected:
            raise UserError(
                f"Expected uint8 of quantization {expected} at {details['name']}, "
                f"the converter gave {details['dtype'].__name__} of {details['quantization']}."
            )


def convert(
    trained: Trained,
    choose: Callable[[Converter], None] = lambda converter: None,
    graph: tempfile.TemporaryDirectory | None = None,
) -> bytes:
    """The model, or another `graph` for it, as a TFLite file; `choose` sets the converter's options for its kind."""
    # From a SavedModel: conversion straight from Keras hides the reason of a failure behind `_get_save_spec`.
    converter = Converter.from_saved_model((graph or trained.graph).name, signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if trained.allow_select_ops:
        converter.target_spec.supported_ops += [tf.lite.OpsSet.SELECT_TF_OPS]
    choose(converter)
    try:
        with quiet():
            return converter.convert()
    except Exception as error:  # ConverterError is not public, and other types come up too
        reason = str(error).strip().partition("\n")[0]
        if reason.startswith("Select TensorFlow op"):  # the calibrator of TensorFlow 2.21 can't run them
            raise UserError(
                "int8 files can't have TensorFlow's own operations: leave tflite_int8 out of --formats."
            ) from error
        hint = "" if trained.allow_select_ops else " (--allow_select_ops takes TensorFlow's own in addition)"
        raise UserError(f"The model can't be converted to TFLite's built-in operations{hint}: {reason}") from error


def save(trained: Trained, model: bytes, path: Path) -> None:
    """Writes a converted model to `path` with its metadata."""
    predictor = trained.predictor
    height, width, channels = predictor.image_shape
    names = predictor.class_names
    description = f"Classifies images of {height} x {width} pixels as one of {len(names)} classes."
    content = metadata.embed(model, predictor.model.name, description, names, channels, serving_text(predictor))
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)
