import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.data.decode import read_image, resize_image
from keras_imgcls.inference import serving
from tests.inference.tiny import digits, make_model


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_frozen_graph_is_the_keras_model(temperature):
    model, images = make_model(), digits(33)
    logits, probabilities = serving.freeze(model, temperature)(images)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(probabilities, softmax(expected / temperature), atol=1e-6)


def test_random_layers_are_off():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.RandomFlip(), keras.layers.RandomRotation(0.5), make_model()]
    )
    answer, images = serving.freeze(model), digits(16)
    assert np.array_equal(answer(images)[0], answer(images)[0])
    np.testing.assert_allclose(answer(images)[0], model.layers[-1].predict(images, verbose=0), rtol=1e-5, atol=1e-5)


def test_one_trace_serves_every_batch_size():
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(Counted()(image))))
    answer = serving.freeze(model)
    before = len(traces)
    for count in (1, 2, 5, 64):
        assert answer(digits(count))[0].shape == (count, 3)
    assert len(traces) == before


def test_encoded_images_become_the_pixels_of_the_one_door(tmp_path):
    """Two files of other sizes in one batch: the same as reading and resizing each."""
    contents = []
    for index, shape in enumerate([(31, 17, 3), (8, 40, 3)]):
        pixels = np.random.default_rng(index).integers(0, 256, shape, np.uint8)
        contents.append(tf.io.encode_jpeg(pixels).numpy())
        (tmp_path / f"{index}.jpg").write_bytes(contents[-1])
    got = serving.pixels(tf.constant(contents), (16, 16, 3), "crop", "bicubic")
    for index in range(2):
        expected = resize_image(read_image(tmp_path / f"{index}.jpg", 3), 16, "crop", "bicubic")
        assert np.array_equal(got[index], expected)
