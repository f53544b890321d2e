"""ONNX: the network as one file for onnxruntime and everything else that reads the format."""

import importlib
from pathlib import Path
from types import ModuleType

import keras
import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.core.console import quiet
from keras_imgcls.core.errors import UserError
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference import serving
from keras_imgcls.inference.exported import LABELS, SERVING, labels_text, serving_text

OPSET = 17  # LayerNormalization is an operation from here on; onnxruntime has read it since 1.12


class GroupedConvolution(keras.layers.Conv2D):
    """A convolution in groups as one plain operation: to be converted, for TensorFlow can't run it so on the CPU.

    Keras has XLA compile it there, and tf2onnx doesn't look into what is compiled.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """As that of Keras."""
        return tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate)


def convertible(model: keras.Model) -> keras.Model:
    """`model`, or where it has convolutions in groups a copy of it, with its weights, that tf2onnx can read."""

    def grouped(layer: keras.Layer) -> bool:
        return type(layer) is keras.layers.Conv2D and layer.groups > 1

    def clone(layer: keras.Layer) -> keras.Layer:
        kind = GroupedConvolution if grouped(layer) else type(layer)
        return kind.from_config(layer.get_config())

    if not any(map(grouped, model.layers)):
        return model
    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def require_converter() -> ModuleType:
    """tf2onnx; a UserError where it isn't installed."""
    try:
        return importlib.import_module("tf2onnx")
    except ImportError as error:
        raise UserError(
            "ONNX files are written by tf2onnx, which isn't installed: pip install 'keras_imgcls[onnx]'."
        ) from error


def write(trained: Trained, path: Path) -> None:
    """Writes the ONNX file of a model to `path`.

    It takes `image`, uint8 of shape (n, height, width, channels), grey levels 0-255 of the model's size, and answers
    `probabilities`, float32 of shape (n, classes). The names of the classes and how pictures become pixels are in its
    metadata, as `labels.txt` and `serving.json`.

    Raises:
        UserError: tf2onnx isn't there, or the network has an operation that it doesn't know.
    """
    converter, predictor = require_converter(), trained.predictor
    network = convertible(predictor.model)
    signature = [tf.TensorSpec((None, *predictor.image_shape), tf.uint8, name="image")]

    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": serving.answer(network, image, predictor.temperature)[1]}

    function = tf.function(answer, input_signature=signature, autograph=False)
    try:
        with quiet():
            model, _ = converter.convert.from_function(function, signature, opset=OPSET)
            importlib.import_module("onnx").checker.check_model(model)  # tf2onnx leaves in what it can't convert
    except Exception as error:  # tf2onnx raises whatever its many parts raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"The model can't be converted to ONNX: {reason}") from error
    model.metadata_props.add(key=LABELS, value=labels_text(predictor))
    model.metadata_props.add(key=SERVING, value=serving_text(predictor))
    with files.atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
