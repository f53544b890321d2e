"""What exports are made from: the trained model and images of its run."""

import tempfile
from collections.abc import Callable
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core.run import Run
from keras_imgcls.export import calibration
from keras_imgcls.export.lesson import Lesson, lesson
from keras_imgcls.export.reference import Reference, reference
from keras_imgcls.inference import serving
from keras_imgcls.inference.predictor import Predictor


class Trained:
    """A trained model, and what the writers of exports may want beside it.

    Attributes:
        run: where it was trained.
        predictor: the model with its class names and the way that files become its pixels.
        allow_select_ops: whether TFLite files may hold operations of TensorFlow beyond the built-in ones.
        samples: how many held-out images choices look at, at most.
        int8: what is tried where int8 loses accuracy, and `int8_epochs` how long; see `--int8`.
        min_agreement_int8: the agreement with the Keras model that int8 files have to reach.
        statements: what was done to make a format, where that was more than to convert it.
    """

    def __init__(
        self,
        run: Run,
        predictor: Predictor,
        allow_select_ops: bool = False,
        samples: int = 500,
        int8: str = "auto",
        int8_epochs: int = 3,
        min_agreement_int8: float = 0.97,
    ) -> None:
        """Stores what is given; images are read when they are asked for."""
        self.run, self.predictor, self.allow_select_ops, self.samples = run, predictor, allow_select_ops, samples
        self.int8, self.int8_epochs, self.min_agreement_int8 = int8, int8_epochs, min_agreement_int8
        self.statements: dict[str, str] = {}

    @cached_property
    def graph(self) -> tempfile.TemporaryDirectory:
        """A folder with the SavedModel of the serving graph for one image, which all TFLite files are made from."""
        predictor = self.predictor

        def probabilities(image: tf.Tensor) -> tf.Tensor:
            return serving.answer(predictor.model, image, predictor.temperature)[1]

        return save_graph(predictor.model, predictor.image_shape, probabilities)

    @cached_property
    def validation(self) -> Reference:
        """Images for choices, which are not those that the result is measured on: of validation, else of training."""
        return reference(self.run, self.predictor, self.samples, ("validation", "train"))

    @cached_property
    def calibration(self) -> np.ndarray:
        """Training images for calibration, uint8 of shape (n, height, width, channels); see `calibration.images`."""
        return calibration.images(self.run)

    @cached_property
    def lesson(self) -> Lesson:
        """All training images, for fine-tuning; see `lesson.lesson`."""
        return lesson(self.run)


def save_graph(
    model: keras.Model, image_shape: tuple[int, int, int], probabilities: Callable[[tf.Tensor], tf.Tensor]
) -> tempfile.TemporaryDirectory:
    """A folder with the SavedModel of a function of one image (float32, a batch of 1) that uses the variables of `model`."""
    folder = tempfile.TemporaryDirectory()
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]

    def one(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": probabilities(image)}

    image = tf.TensorSpec((1, *image_shape), tf.float32, name="image")
    signature = tf.function(one, autograph=False).get_concrete_function(image)
    tf.saved_model.save(module, folder.name, signatures={"serving_default": signature})
    return folder
