"""The predictor: a trained Keras model that answers for arrays and for files, at once and always with the same graph."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from keras_imgcls.core import imagenet
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run, open_run
from keras_imgcls.inference import serving
from keras_imgcls.inference.base import BasePredictor, Images
from keras_imgcls.inference.loading import load_model
from keras_imgcls.models import pretrained


class Predictor(BasePredictor):
    """A Keras model as a predictor.

    Attributes (beside those of every predictor):
        model: the Keras model, pixels 0-255 to logits. Later changes to its weights are not seen.
        temperature: what logits are divided by before the softmax.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str],
        resize: str = "squash",
        interpolation: str = "bilinear",
        temperature: float = 1.0,
        min_confidence: float = 0.0,
    ) -> None:
        """Freezes `model`; `resize` and `interpolation` are those of its training.

        Raises:
            UserError: the model has another number of outputs than there are names.
        """
        if model.output_shape[-1] != len(class_names):
            raise UserError(
                f"The model has {model.output_shape[-1]} outputs, and there are {len(class_names)} class names."
            )
        super().__init__(class_names, model.input_shape[1:], resize, interpolation, min_confidence)
        self.model, self.temperature = model, temperature
        self._answer = serving.freeze(model, temperature)

    def logits(self, images: Images, batch_size: int = 512) -> np.ndarray:
        """Logits, float32 of shape (n, k); see `predict`."""
        parts = [self._answer(pixels)[0].numpy() for pixels in self._batches(images, batch_size)]
        return np.concatenate([np.zeros((0, len(self.class_names)), np.float32), *parts])

    def embed(self, images: Images, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of shape (n, k), and the features of shape (n, d) that the last layer makes them of; n above 0."""
        parts = [self._embed(pixels)[1:] for pixels in self._batches(images, batch_size)]
        return tuple(np.concatenate([part.numpy() for part in column]) for column in zip(*parts, strict=True))

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return self._answer(pixels)[1].numpy()

    @cached_property
    def _embed(self):
        return serving.freeze(self.model, self.temperature, with_features=True)


def load_run(path: str | Path, trust_file: bool = False) -> Predictor:
    """The predictor of a run directory; `trust_file` as `loading.load_model` takes it.

    Raises:
        UserError: there is no run, it has no model yet, or its files can't be read or don't fit together.
    """
    run = open_run(path)
    config = run.config
    return Predictor(
        load_model(run, trust_file),
        class_names(run),
        config.resize,
        config.interpolation,
        min_confidence=config.min_confidence,
    )


def load_pretrained(model: str, weights: str, cache_dir: str = "", trust_file: bool = False) -> Predictor:
    """The predictor of a model with weights that no run of ours trained.

    Photos are fitted to ImageNet's weights by their largest central square and bicubic resampling, as they were
    evaluated but for a margin of an eighth; to others by squashing with bilinear resampling, as this package trains.

    Args:
        model: a model, with arguments if you like.
        weights: `imagenet`, or a `.keras` or `.weights.h5` file.
        cache_dir: where converted weights are kept; empty: `~/.cache/keras_imgcls`.
        trust_file: whether `weights` may be a file that can run code as it is opened, such as a pickle.

    Raises:
        UserError: there are no such weights, they don't fit, or their classes, scaling or image size are unknown.
    """
    origin = pretrained.origin(model, weights, cache_dir=cache_dir, trust_file=trust_file)
    if not origin.class_names:
        raise UserError(f"The classes of {weights} aren't known: put their names beside it in labels.txt, one a line.")
    if not origin.scaling or not origin.image_size:
        raise UserError(f"{weights} doesn't say what images it takes: predict with a .keras file.")
    shape = (origin.image_size, origin.image_size, origin.channels)
    network, _ = origin.build(model, shape, origin.class_names)
    as_evaluated = ("crop", "bicubic") if origin.class_names == imagenet.class_names() else ("squash", "bilinear")
    return Predictor(network, origin.class_names, *as_evaluated)


def class_names(run: Run) -> list[str]:
    """The class names of a run.

    Raises:
        UserError: `labels.txt` is missing or can't be read.
    """
    try:
        return run.class_names
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{run.labels} can't be read: {error}.") from error
