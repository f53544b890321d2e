"""The predictor: a trained model that answers for arrays and for files, at once and always with the same graph."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run, open_run
from keras_imgcls.data.decode import read_image, resize_image
from keras_imgcls.inference import serving


class Predictor:
    """A model with its class names and the way that files become its pixels.

    Attributes:
        model: the Keras model, pixels 0-255 to logits. Later changes to its weights are not seen.
        class_names: the names of the k classes, in the order of the outputs.
        image_shape: (height, width, channels) of its input.
        temperature: what logits are divided by before the softmax.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str],
        resize: str = "squash",
        interpolation: str = "bilinear",
        temperature: float = 1.0,
    ) -> None:
        """Freezes `model`; `resize` and `interpolation` are those of its training.

        Raises:
            UserError: the model has another number of outputs than there are names.
        """
        if model.output_shape[-1] != len(class_names):
            raise UserError(
                f"The model has {model.output_shape[-1]} outputs, and there are {len(class_names)} class names."
            )
        self.model, self.class_names, self.temperature = model, tuple(class_names), temperature
        self.resize, self.interpolation = resize, interpolation
        self.image_shape = tuple(model.input_shape[1:])
        self._answer = serving.freeze(model, temperature)
        self._resize = tf.function(
            lambda image: resize_image(image, self.image_shape[0], resize, interpolation),
            input_signature=[tf.TensorSpec([None, None, self.image_shape[2]], tf.uint8)],
            autograph=False,
        )

    def predict(self, images: np.ndarray | Sequence[str | Path], batch_size: int = 64) -> np.ndarray:
        """Probabilities, float32 of shape (n, k).

        Args:
            images: uint8 of shape (n, height, width, channels), grey levels 0-255, or paths of image files. Images of
                another size are resized as in training.
            batch_size: images per call of the network.

        Raises:
            UserError: arrays of another type or another number of channels.
            BadImage: a file can't be decoded.
        """
        return self._answers(images, batch_size)[1]

    def logits(self, images: np.ndarray | Sequence[str | Path], batch_size: int = 512) -> np.ndarray:
        """Logits, float32 of shape (n, k); see `predict`."""
        return self._answers(images, batch_size)[0]

    def read(self, path: str | Path) -> np.ndarray:
        """The pixels of an image file as the model wants them, uint8 of shape `image_shape`.

        Raises:
            BadImage: the file can't be decoded.
        """
        return self._fit(read_image(path, self.image_shape[2]))

    def _answers(self, images: np.ndarray | Sequence[str | Path], batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        images = self._check(images)
        answers = [self._answer(self._pixels(images[at : at + batch_size])) for at in range(0, len(images), batch_size)]
        if len(answers) == 1:
            return answers[0][0].numpy(), answers[0][1].numpy()
        empty = np.zeros((0, len(self.class_names)), np.float32)
        return tuple(np.concatenate([empty, *(answer[part].numpy() for answer in answers)]) for part in (0, 1))

    def _check(self, images: np.ndarray | Sequence[str | Path]) -> np.ndarray | Sequence[str | Path]:
        if isinstance(images, (str, Path)):
            raise UserError(f"Expected a list of paths, received one: predict(['{images}']).")
        if isinstance(images, (list, tuple)) and all(isinstance(item, (str, Path)) for item in images):
            return images
        images = np.asarray(images)
        channels = self.image_shape[2]
        if images.ndim != 4 or images.shape[3] != channels or images.dtype != np.uint8:
            raise UserError(
                f"Expected uint8 images (grey levels 0-255) of shape (n, height, width, {channels}), "
                f"received {images.dtype} of shape {images.shape}."
            )
        return images

    def _pixels(self, images: np.ndarray | Sequence[str | Path]) -> np.ndarray:
        if not isinstance(images, np.ndarray):
            return np.stack([self.read(path) for path in images])
        if images.shape[1:] == self.image_shape:
            return images
        return np.stack([self._fit(image) for image in images])

    def _fit(self, image: np.ndarray) -> np.ndarray:
        if image.shape == self.image_shape:
            return image
        height, width, _ = self.image_shape
        if height != width:
            raise UserError(
                f"The model takes images of {height} x {width} pixels, received {image.shape[0]} x {image.shape[1]}."
            )
        return self._resize(image).numpy()


def load_run(path: str | Path) -> Predictor:
    """The predictor of a run directory.

    Raises:
        UserError: there is no run, it has no model yet, or its files can't be read or don't fit together.
    """
    run = open_run(path)
    return Predictor(load_model(run), class_names(run), run.config.resize, run.config.interpolation)


def load_model(run: Run) -> keras.Model:
    """The model that a run saved; code in the file is not executed (`safe_mode`).

    Raises:
        UserError: there is none yet, or the file can't be loaded.
    """
    if not run.model.is_file():
        raise UserError(f"{run.path} has not saved a model yet: there is no {run.model.name}.")
    try:
        return keras.saving.load_model(run.model, compile=False, safe_mode=True)
    except (
        Exception
    ) as error:  # Keras raises whatever its many parts raise: ValueError, KeyError, BadZipFile, OSError …
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{run.model} can't be loaded: {type(error).__name__}: {reason}") from error


def class_names(run: Run) -> list[str]:
    """The class names of a run.

    Raises:
        UserError: `labels.txt` is missing or can't be read.
    """
    try:
        return run.class_names
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{run.labels} can't be read: {error}.") from error
