"""The gate lets good files through and catches the classic faults, each of them, in float and in int8 files."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.config import ExportConfig
from keras_imgcls.data.decode import resize_image
from keras_imgcls.export import calibration, export
from keras_imgcls.export.reference import Reference, keras_probabilities
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.predictor import Predictor

SIZE, NAMES = 16, ("dark red", "light red", "dark green", "light green", "dark blue", "light blue")
FILES = ("tflite", "tflite_float16", "tflite_dynamic", "tflite_int8")


def draw(number, seed):
    """Photos twice as wide as high: a bar at the left end has the colour that names the class, the rest is noise."""
    random = np.random.default_rng(seed)
    photos, classes = [], np.arange(number) % 6
    for name in classes:
        photo = random.integers(60, 140, (20 + number % 5, 48, 3), np.uint8)
        level = random.integers(50, 95) if name % 2 == 0 else random.integers(170, 230)
        photo[:, :14] = 0
        photo[:, :14, name // 2] = level
        photos.append(photo)
    return photos, classes


def fit(photos, resize="squash"):
    return np.stack([resize_image(tf.constant(photo), SIZE, resize, "bilinear").numpy() for photo in photos])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scaling")(image)
    x = keras.layers.Conv2D(16, 3, 2, use_bias=False, name="stem")(x)
    x = keras.layers.BatchNormalization(momentum=0.8, name="stem_norm")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = keras.layers.Flatten(name="features")(x)
    made = keras.Model(image, keras.layers.Dense(6, name="logits")(x))
    made.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    photos, classes = draw(300, seed=0)
    made.fit(fit(photos), classes, 30, epochs=12, verbose=0)
    return made


@pytest.fixture(scope="module")
def expected(model):
    photos, classes = draw(120, seed=1)
    images = fit(photos)
    probabilities = keras_probabilities(Predictor(model, NAMES), images)
    assert (probabilities.argmax(axis=1) == classes).mean() > 0.97, "nothing was learned: nothing would be caught"
    return Reference("test", images, [tf.io.encode_png(p).numpy() for p in photos], probabilities, classes, NAMES)


def failures(name, model, expected, folder, labels=NAMES, **options):
    """What the gate says of one format, written from `model` with `labels` inside and beside it."""
    trained = Trained(None, Predictor(model, labels, **options))
    trained.calibration = calibration.with_extremes(fit(draw(60, seed=2)[0], options.get("resize", "squash")))
    trained.validation = dataclasses.replace(
        expected, probabilities=keras_probabilities(trained.predictor, expected.images)
    )
    export.write(trained, folder, [name])
    results = export.verify(folder, expected, ExportConfig())
    return [failure for result in results for failure in result.failures], results


def changed(model, layer, **settings):
    """A copy of `model` with other settings in one layer."""

    def clone(original):
        config = original.get_config()
        return original.__class__.from_config({**config, **settings} if original.name == layer else config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def bgr(model):
    copy = changed(model, "")
    kernel = copy.get_layer("stem").kernel
    kernel.assign(kernel.numpy()[:, :, ::-1])
    return copy


@pytest.mark.parametrize("name", FILES)
def test_a_good_file_passes(name, model, expected, tmp_path):
    found, results = failures(name, model, expected, tmp_path)
    assert found == []
    assert results[0].agreement >= 0.97 and results[0].images == 120


@pytest.mark.parametrize("name", FILES)
def test_a_changed_mean_is_caught(name, model, expected, tmp_path):
    found, _ = failures(name, changed(model, "scaling", offset=0), expected, tmp_path)
    assert any("it agrees with the Keras model on" in failure for failure in found)


@pytest.mark.parametrize("name", FILES)
def test_swapped_channels_are_caught(name, model, expected, tmp_path):
    found, _ = failures(name, bgr(model), expected, tmp_path)
    assert any("it agrees with the Keras model on" in failure for failure in found)


@pytest.mark.parametrize("name", FILES)
def test_another_resize_is_caught(name, model, expected, tmp_path):
    found, _ = failures(name, model, expected, tmp_path, resize="crop")
    assert "pixels resized as it says (crop, bilinear) are not those of training" in found
    assert any("it agrees with the Keras model on" in failure for failure in found)


@pytest.mark.parametrize("name", FILES)
def test_another_order_of_labels_is_caught(name, model, expected, tmp_path):
    found, _ = failures(name, model, expected, tmp_path, labels=(NAMES[1], NAMES[0], *NAMES[2:]))
    assert "its labels are not those of the run, in their order" in found
    assert any("its accuracy is" in failure for failure in found)


@pytest.mark.parametrize("name", ["tflite", "tflite_int8"])
def test_what_a_phone_gets_is_measured_and_not_judged(name, model, expected, tmp_path):
    """MediaPipe squashes; a model for centre crops doesn't know its class from that, and the table says so."""
    images = fit(draw(120, seed=1)[0], "crop")
    cropped = dataclasses.replace(
        expected, images=images, probabilities=keras_probabilities(Predictor(model, NAMES), images), _pixels={}
    )
    found, (own, phone) = failures(name, model, cropped, tmp_path, resize="crop")
    assert not any("agrees" in failure for failure in found)
    assert phone.artefact.endswith(", by MediaPipe") and phone.failures == ()
    assert own.agreement > 0.95 > phone.agreement and phone.accuracy > 0.9 > own.accuracy
