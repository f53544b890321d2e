"""The one graph from pixels to probabilities: the predictor freezes it, every export is made from it."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_imgcls.data.decode import decode_image, resize_image


def answer(model: keras.Model, image: tf.Tensor, temperature: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits and probabilities, both float32 of shape (n, k), of pixels 0-255 of shape (n, height, width, channels).

    Layers that are random in training are off: no augmentation, no dropout.
    """
    logits = model(tf.cast(image, tf.float32), training=False)
    return logits, tf.nn.softmax(logits / temperature)


def pixels(contents: tf.Tensor, image_shape: tuple[int, int, int], resize: str, interpolation: str) -> tf.Tensor:
    """Encoded images (strings, shape (n,)) as the pixels that training saw, uint8 of shape (n, *image_shape)."""
    size, _, channels = image_shape

    def one(encoded: tf.Tensor) -> tf.Tensor:
        return resize_image(decode_image(encoded, channels), size, resize, interpolation)

    return tf.map_fn(one, contents, fn_output_signature=tf.TensorSpec(image_shape, tf.uint8))


def resized(images: tf.Tensor, image_shape: tuple[int, int, int], resize: str, interpolation: str) -> tf.Tensor:
    """Images of one size, uint8 of shape (n, height, width, channels), as those of shape (n, *image_shape)."""
    size = image_shape[0]

    def fitted() -> tf.Tensor:
        one = functools.partial(resize_image, size=size, method=resize, interpolation=interpolation)
        return tf.map_fn(one, images, fn_output_signature=tf.TensorSpec(image_shape, tf.uint8))

    fits = tf.reduce_all(tf.shape(images)[1:3] == size)
    return tf.ensure_shape(tf.cond(fits, lambda: images, fitted), (None, *image_shape))


def features(model: keras.Model) -> keras.KerasTensor:
    """What the last layer of `model` sees: the landmark `pool` or `features`; in other graphs the last layer's input."""
    names = [layer.name for layer in model.layers]
    landmark = next((name for name in ("pool", "features") if name in names), None)
    return model.get_layer(landmark).output if landmark else model.layers[-1].input


def freeze(
    model: keras.Model, temperature: float = 1.0, with_features: bool = False
) -> Callable[[np.ndarray], tuple[tf.Tensor, ...]]:
    """A function from uint8 images of shape (n, height, width, channels) to `answer`, with the weights as they are now.

    With `with_features` a third output has the `features` of each image, float32 of shape (n, d).

    It is traced once, for any n, and its weights are constants, which lets TensorFlow fold them: ResNet-20 answers one
    image in 1.1 ms instead of 1.8, and 256 in 70 ms instead of 85 (two cores). The frozen function is called inside
    another one because by itself it misses half of that: TensorFlow optimizes what a function calls.
    """
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="image")

    def traced(function: Callable) -> tf.types.experimental.ConcreteFunction:
        return tf.function(function, autograph=False).get_concrete_function(signature)

    def embedded(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        tapped = keras.Model(model.input, [model.output, features(model)])
        logits, vectors = tapped(tf.cast(image, tf.float32), training=False)
        return logits, tf.nn.softmax(logits / temperature), tf.reshape(vectors, [tf.shape(vectors)[0], -1])

    frozen = convert_variables_to_constants_v2(
        traced(embedded if with_features else lambda image: answer(model, image, temperature))
    )
    outer = traced(lambda image: tuple(frozen(image)))
    return lambda images: outer(tf.convert_to_tensor(images, tf.uint8))
