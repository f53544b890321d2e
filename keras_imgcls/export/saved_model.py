"""SavedModel: the serving graph with its weights and labels, in the layout of TensorFlow Serving."""

import tempfile
from pathlib import Path

import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.export import warmup
from keras_imgcls.inference import serving
from keras_imgcls.inference.exported import LABELS, SERVING, labels_text, serving_text
from keras_imgcls.inference.predictor import Predictor

TOP = 5

Signatures = dict[str, tf.types.experimental.ConcreteFunction]


def write(predictor: Predictor, folder: Path) -> None:
    """Writes the SavedModel of `predictor` to `folder`, such as `saved_model/1`; the number is the version served.

    Its signatures:

    - `serving_default`: `image`, uint8 of shape (n, height, width, channels), grey levels 0-255 of any size; pictures
      of another size than the model's are resized as in training.
    - `serve_bytes`: `image_bytes`, strings of shape (n,), whole JPEG, PNG, GIF, BMP or WebP files of any size.
    - `classify`: `image_bytes` as well.

    The first two answer `probabilities`, float32 of shape (n, classes), and `label`, the most probable one, strings of
    shape (n,). `classify` answers `labels` and `probabilities` of shape (n, 5), the most probable first, or all classes
    where there are fewer.

    The names of the classes, one a line in the order of `probabilities`, are in `assets/labels.txt`, how pictures
    become pixels is in `assets/serving.json`, and requests that warm a server up are where it looks for them. A model
    that isn't square takes pixels of its own size alone, and has no signature for files.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in predictor.model.variables]
    signatures = _signatures(predictor)
    with tempfile.TemporaryDirectory() as beside:
        texts = {LABELS: labels_text(predictor), SERVING: serving_text(predictor)}
        for name, text in texts.items():
            files.write_text(Path(beside) / name, text)
        module.assets = [tf.saved_model.Asset(str(Path(beside) / name)) for name in texts]
        tf.saved_model.save(module, str(folder), signatures=signatures)
    warmup.write(folder, predictor.image_shape, signatures)


def _signatures(predictor: Predictor) -> Signatures:
    names = tf.constant(predictor.class_names)
    height, width, channels = shape = predictor.image_shape
    how = (shape, predictor.resize, predictor.interpolation)

    def probabilities(image: tf.Tensor) -> tf.Tensor:
        return serving.answer(predictor.model, image, predictor.temperature)[1]

    def best(values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": values, "label": tf.gather(names, tf.argmax(values, axis=-1))}

    def from_pixels(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return best(probabilities(serving.resized(image, *how) if height == width else image))

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return best(probabilities(serving.pixels(image_bytes, *how)))

    def classify(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        values, classes = tf.math.top_k(probabilities(serving.pixels(image_bytes, *how)), min(TOP, len(names)))
        return {"labels": tf.gather(names, classes), "probabilities": values}

    def traced(function, *spec) -> tf.types.experimental.ConcreteFunction:
        return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(*spec))

    if height != width:
        return {"serving_default": traced(from_pixels, (None, *shape), tf.uint8, "image")}
    return {
        "serving_default": traced(from_pixels, (None, None, None, channels), tf.uint8, "image"),
        "serve_bytes": traced(from_bytes, (None,), tf.string, "image_bytes"),
        "classify": traced(classify, (None,), tf.string, "image_bytes"),
    }
