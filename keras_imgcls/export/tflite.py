"""TFLite: the network as one file for phones and small devices."""

import tempfile
from pathlib import Path

import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.core.console import quiet
from keras_imgcls.core.errors import UserError
from keras_imgcls.inference import serving
from keras_imgcls.inference.predictor import Predictor


def write(predictor: Predictor, path: Path) -> None:
    """Writes the float32 TFLite file of `predictor` to `path`.

    Its signature `serving_default` takes `image`, float32 of shape (1, height, width, channels), grey levels 0-255, and
    answers `probabilities`, float32 of shape (1, classes), in the order of `labels.txt`. One image at a time: that is
    what phones feed, and the delegates for GPUs and neural processors refuse batches whose size is open.

    Raises:
        UserError: the network has an operation that plain TFLite doesn't know.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in predictor.model.variables]

    def one(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": serving.answer(predictor.model, image, predictor.temperature)[1]}

    image = tf.TensorSpec((1, *predictor.image_shape), tf.float32, name="image")
    signature = tf.function(one, autograph=False).get_concrete_function(image)
    with tempfile.TemporaryDirectory() as folder:
        # From a SavedModel: conversion straight from Keras hides the reason of a failure behind `_get_save_spec`.
        tf.saved_model.save(module, folder, signatures={"serving_default": signature})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            with quiet():
                content = converter.convert()
        except Exception as error:  # ConverterError is not public, and other types come up too
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"The model can't be converted to TFLite's built-in operations: {reason}") from error
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)
