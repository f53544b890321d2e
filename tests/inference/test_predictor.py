import keras
import numpy as np
import pytest
from PIL import Image

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import BadImage, read_image, resize_image
from keras_imgcls.inference.predictor import Predictor, load_run
from tests.inference.tiny import NAMES, digits, make_model, make_run


def test_a_run_answers_as_its_keras_model(tiny_run, predictor):
    images = digits(150)
    expected = keras.saving.load_model(tiny_run.model).predict(images, verbose=0)
    np.testing.assert_allclose(predictor.logits(images), expected, rtol=1e-5, atol=1e-5)
    probabilities = predictor.predict(images)
    assert probabilities.dtype == np.float32 and probabilities.shape == (150, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(probabilities.argmax(axis=1), expected.argmax(axis=1))
    assert predictor.class_names == NAMES and predictor.image_shape == (8, 8, 1)


def test_batches_change_nothing(predictor):
    images = digits(37)
    np.testing.assert_allclose(predictor.predict(images, batch_size=5), predictor.predict(images), atol=1e-6)
    assert predictor.predict(images[:0]).shape == (0, 10)


def test_temperature_softens_and_keeps_the_order():
    model, images = make_model(), digits(20)
    sharp, soft = Predictor(model, NAMES), Predictor(model, NAMES, temperature=4.0)
    assert np.array_equal(sharp.predict(images).argsort(), soft.predict(images).argsort())
    assert (soft.predict(images).max(axis=1) < sharp.predict(images).max(axis=1)).all()
    np.testing.assert_allclose(soft.logits(images), sharp.logits(images))


def test_files_and_arrays_of_other_sizes_are_resized_as_in_training(predictor, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    from_file = predictor.predict([tmp_path / "a.png", str(tmp_path / "a.png")])
    expected = resize_image(read_image(tmp_path / "a.png", 1), 8, "squash", "bilinear").numpy()
    np.testing.assert_allclose(from_file, predictor.predict(np.stack([expected] * 2)), atol=1e-7)
    np.testing.assert_allclose(predictor.predict(pixels[None, ..., None]), from_file[:1], atol=1e-7)


@pytest.mark.parametrize(
    "images, received",
    [
        (np.zeros((2, 8, 8, 3), np.uint8), r"uint8 of shape \(2, 8, 8, 3\)"),
        (np.zeros((2, 8, 8, 1), np.float32), r"float32 of shape \(2, 8, 8, 1\)"),
        (np.zeros((8, 8, 1), np.uint8), r"uint8 of shape \(8, 8, 1\)"),
    ],
)
def test_other_arrays_are_refused(predictor, images, received):
    with pytest.raises(
        UserError, match=r"Expected uint8 images .* of shape \(n, height, width, 1\), received " + received
    ):
        predictor.predict(images)


def test_one_path_is_no_list_of_paths(predictor):
    with pytest.raises(UserError, match=r"Expected a list of paths, received one: predict\(\['a.png'\]\)"):
        predictor.predict("a.png")


def test_an_unreadable_file_is_named(predictor, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(BadImage, match=r"torn\.png"):
        predictor.predict([tmp_path / "torn.png"])


def test_a_model_that_is_not_square_takes_its_own_size_alone():
    model = make_model(shape=(8, 6, 1))
    predictor = Predictor(model, NAMES)
    assert predictor.predict(np.zeros((1, 8, 6, 1), np.uint8)).shape == (1, 10)
    with pytest.raises(UserError, match="The model takes images of 8 x 6 pixels, received 6 x 8"):
        predictor.predict(np.zeros((1, 6, 8, 1), np.uint8))


class TestBrokenRuns:
    def test_no_model_yet(self, tmp_path):
        run = make_run(tmp_path / "run")
        run.model.unlink()
        with pytest.raises(UserError, match=r"run has not saved a model yet: there is no model\.keras"):
            load_run(run.path)

    def test_a_truncated_model(self, tmp_path):
        run = make_run(tmp_path / "run")
        run.model.write_bytes(run.model.read_bytes()[:1000])
        with pytest.raises(UserError, match=r"model\.keras can't be loaded: "):
            load_run(run.path)

    def test_no_labels(self, tmp_path):
        run = make_run(tmp_path / "run")
        run.labels.unlink()
        with pytest.raises(UserError, match=r"labels\.txt can't be read"):
            load_run(run.path)

    def test_a_label_too_few(self, tmp_path):
        run = make_run(tmp_path / "run", names=NAMES[:9])
        with pytest.raises(UserError, match="The model has 10 outputs, and there are 9 class names"):
            load_run(run.path)
