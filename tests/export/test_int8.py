"""int8 where quantization after training fails by construction: the remedy finds the place and says what it did."""

import keras
import numpy as np
import pytest

from keras_imgcls.export import calibration, fallback, fresh, int8, litert, tflite
from keras_imgcls.export.reference import Reference, keras_probabilities
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.predictor import Predictor
from tests.export.test_export import make_trained

NAMES = tuple("abcde")


def unequal_channels(scale):
    """Two convolutions; between them one channel is `scale` times as large, and the next kernel takes that back.

    The float network doesn't mind. In int8 the large channel takes all of the 256 levels, and the others become 0.
    """
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    for name in ("stem", "stage1"):
        x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    initializer = keras.initializers.RandomNormal(stddev=3.0)
    model = keras.Model(image, keras.layers.Dense(5, name="logits", kernel_initializer=initializer)(x))
    scales = np.where(np.arange(16) == 0, scale, 1).astype(np.float32)
    model.get_layer("stem_norm").gamma.assign(scales)
    kernel = model.get_layer("stage1_conv").kernel
    kernel.assign(kernel.numpy() / scales[:, None])
    return model


def photos(count, seed=0):
    """Each of a colour of its own, with noise."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, 256, (count, 1, 1, 3)) // 2
    return (colours + random.integers(0, 128, (count, 16, 16, 3))).astype(np.uint8)


def make(scale, **options):
    images = photos(200)
    trained = Trained(None, Predictor(unequal_channels(scale), NAMES), **options)
    trained.calibration = calibration.with_extremes(images[:60])
    probabilities = keras_probabilities(trained.predictor, images)
    trained.validation = Reference("validation", images, [], probabilities, probabilities.argmax(axis=1), NAMES)
    return trained


def test_a_network_that_int8_does_not_hurt_is_left_alone(tmp_path):
    trained = make(scale=1)
    int8.write(trained, tmp_path / "model.tflite")
    assert fresh.census((tmp_path / "model.tflite").read_bytes()) == fresh.census(tflite.int8(trained))
    statement = trained.statements["tflite_int8"]
    assert statement.startswith("quantized after training with 62 calibration images it loses ")
    assert statement.endswith("(200 validation images, the Keras model 100.0%)") and "float" not in statement


def test_layers_that_int8_breaks_stay_float(tmp_path):
    trained = make(scale=2000, int8="float_layers")
    quantized = int8.measure(trained, tflite.int8(trained))
    assert quantized.lost > 60 and not quantized.holds
    int8.write(trained, tmp_path / "model.tflite")
    remedied = int8.measure(trained, (tmp_path / "model.tflite").read_bytes())
    assert remedied.lost <= 4
    assert "; with stem_relu, stage1_relu in float it " in trained.statements["tflite_int8"]
    tflite.require_quantization((tmp_path / "model.tflite").read_bytes())


def test_the_most_sensitive_place_comes_first():
    ranked = fallback.Sensitivity(make(scale=2000))
    assert ranked.kept(1) == ["stem_relu", "stage1_relu"]
    assert list(ranked.counts()) == [1, 2]
    everything = ranked.quantize(5)  # bytes of pixels go in as they are all the same
    tflite.require_quantization(everything)
    assert fresh.census(everything)["QUANTIZE"] >= 2


def test_few_images_are_chance():
    def holds(lost, count, agreement=1.0):
        return int8.Attempt(b"", lost, 30, agreement, count, least_agreement=0.97).holds

    assert holds(2, 38) and not holds(3, 38)
    assert holds(5, 500) and not holds(6, 500)
    assert holds(0, 500, agreement=0.96) and not holds(0, 500, agreement=0.94)


def test_images_gained_are_chance_and_a_file_that_fails_its_gate_comes_last():
    gained, near, far = (
        int8.Attempt(b"", lost, 400, agreement, 500, least_agreement=0.97)
        for lost, agreement in ((-9, 0.94), (0, 0.99), (-1, 0.98))
    )
    assert sorted([gained, far, near], key=lambda attempt: attempt.rank) == [near, far, gained]


def test_without_remedies_the_file_is_what_it_is(tmp_path):
    trained = make(scale=2000, int8="post_training")
    int8.write(trained, tmp_path / "model.tflite")
    assert int8.measure(trained, (tmp_path / "model.tflite").read_bytes()).lost > 60
    assert "; " not in trained.statements["tflite_int8"]


@pytest.mark.parametrize("convert", [tflite.convert, tflite.int8])
def test_litert_here_answers_as_the_predictor(convert):
    trained = make_trained()
    images = np.random.default_rng(5).integers(0, 256, (10, 8, 8, 3), np.uint8)
    expected = trained.predictor.predict(images)
    atol = 1e-5 if convert is tflite.convert else 0.1
    np.testing.assert_allclose(litert.probabilities(convert(trained), images), expected, atol=atol)
