"""SavedModel: the serving graph with its weights and labels, in the layout of TensorFlow Serving."""

from pathlib import Path

import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.inference import serving
from keras_imgcls.inference.predictor import Predictor


def write(predictor: Predictor, folder: Path) -> None:
    """Writes the SavedModel of `predictor` to `folder`, such as `saved_model/1`; the number is the version served.

    Its two signatures answer `probabilities`, float32 of shape (n, classes), and `label`, the most probable one,
    strings of shape (n,):

    - `serving_default`: `image`, uint8 of shape (n, height, width, channels), grey levels 0-255.
    - `serve_bytes`: `image_bytes`, strings of shape (n,), whole JPEG, PNG, GIF, BMP or WebP files of any size.

    The names of the classes, one a line in the order of `probabilities`, are in `assets/labels.txt`.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in predictor.model.variables]
    labels = folder.with_name(f"{folder.name}-labels") / "labels.txt"
    files.write_text(labels, "".join(f"{name}\n" for name in predictor.class_names))
    module.labels = tf.saved_model.Asset(str(labels))
    tf.saved_model.save(module, str(folder), signatures=_signatures(predictor))
    labels.unlink()
    labels.parent.rmdir()


def _signatures(predictor: Predictor) -> dict[str, tf.types.experimental.ConcreteFunction]:
    names = tf.constant(predictor.class_names)

    def named(image: tf.Tensor) -> dict[str, tf.Tensor]:
        _, probabilities = serving.answer(predictor.model, image, predictor.temperature)
        return {"probabilities": probabilities, "label": tf.gather(names, tf.argmax(probabilities, axis=-1))}

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return named(serving.pixels(image_bytes, predictor.image_shape, predictor.resize, predictor.interpolation))

    images = tf.TensorSpec((None, *predictor.image_shape), tf.uint8, name="image")
    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
    return {
        "serving_default": tf.function(named, autograph=False).get_concrete_function(images),
        "serve_bytes": tf.function(from_bytes, autograph=False).get_concrete_function(encoded),
    }
