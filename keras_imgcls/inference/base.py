"""The face of every predictor, whatever runs the network: class names, how files become pixels, and `predict`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import require_names
from keras_imgcls.data.decode import read_image, resize_image

Images = np.ndarray | Sequence[str | Path]


class BasePredictor(ABC):
    """A network with its class names and the way that files become its pixels.

    Attributes:
        class_names: the names of the k classes, in the order of the outputs.
        image_shape: (height, width, channels) of its input.
        resize: how a picture becomes that size; see `data.decode.resize_image`.
        interpolation: how pixels are resampled then.
        min_confidence: the probability below which an answer is to be called `unsure`.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        image_shape: Sequence[int],
        resize: str = "squash",
        interpolation: str = "bilinear",
        min_confidence: float = 0.0,
    ) -> None:
        """Stores what it is given.

        Raises:
            UserError: a class has a name that is no line of text.
        """
        require_names(class_names)
        self.class_names, self.image_shape = tuple(class_names), tuple(image_shape)
        self.resize, self.interpolation, self.min_confidence = resize, interpolation, min_confidence

    def predict(self, images: Images, batch_size: int = 64) -> np.ndarray:
        """Probabilities, float32 of shape (n, k).

        Args:
            images: uint8 of shape (n, height, width, channels), grey levels 0-255, or paths of image files. Images of
                another size are resized as in training.
            batch_size: images per call of the network.

        Raises:
            UserError: arrays of another type or another number of channels.
            BadImage: a file can't be decoded.
        """
        parts = [self._probabilities(pixels) for pixels in self._batches(images, batch_size)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.zeros((0, len(self.class_names)), np.float32), *parts])

    def embed(self, images: Images, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of shape (n, k), and the features of shape (n, d) that the last layer makes them of.

        Raises:
            UserError: an exported file, which doesn't give its features; or as `predict`.
        """
        raise UserError("Features come from the Keras model: --embeddings needs --run_dir=RUN, not an exported file.")

    def read(self, path: str | Path) -> np.ndarray:
        """The pixels of an image file as the model wants them, uint8 of shape `image_shape`.

        Raises:
            BadImage: the file can't be decoded.
        """
        return self.fit(read_image(path, self.image_shape[2]))

    def fit(self, image: np.ndarray) -> np.ndarray:
        """`image`, uint8 of shape (h, w, channels), resized as in training.

        Raises:
            UserError: the model's own input isn't square, and the image has another size.
        """
        if image.shape == self.image_shape:
            return image
        height, width, _ = self.image_shape
        if height != width:
            raise UserError(
                f"The model takes images of {height} x {width} pixels, received {image.shape[0]} x {image.shape[1]}."
            )
        return self._resize(image).numpy()

    @abstractmethod
    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities, float32 of shape (n, k), of uint8 pixels of shape (n, *image_shape), n above 0."""

    def _batches(self, images: Images, batch_size: int) -> Iterable[np.ndarray]:
        """The pixels of `images` in batches, made one at a time."""
        images = self._check(images)
        starts = range(0, len(images), batch_size)
        return (self._pixels(images[start : start + batch_size]) for start in starts)

    def _check(self, images: Images) -> Images:
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

    def _pixels(self, images: Images) -> np.ndarray:
        if not isinstance(images, np.ndarray):
            return np.stack([self.read(path) for path in images])
        if images.shape[1:] == self.image_shape:
            return images
        return np.stack([self.fit(image) for image in images])

    @cached_property
    def _resize(self):
        return tf.function(
            lambda image: resize_image(image, self.image_shape[0], self.resize, self.interpolation),
            input_signature=[tf.TensorSpec([None, None, self.image_shape[2]], tf.uint8)],
            autograph=False,
        )
