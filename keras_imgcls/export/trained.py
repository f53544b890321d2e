"""What exports are made from: the trained model and images of its run."""

from functools import cached_property

import numpy as np

from keras_imgcls.core.run import Run
from keras_imgcls.export import calibration
from keras_imgcls.inference.predictor import Predictor


class Trained:
    """A trained model, and what the writers of exports may want beside it.

    Attributes:
        run: where it was trained.
        predictor: the model with its class names and the way that files become its pixels.
        allow_select_ops: whether TFLite files may hold operations of TensorFlow beyond the built-in ones.
    """

    def __init__(self, run: Run, predictor: Predictor, allow_select_ops: bool = False) -> None:
        """Stores what is given; images are read when they are asked for."""
        self.run, self.predictor, self.allow_select_ops = run, predictor, allow_select_ops

    @cached_property
    def calibration(self) -> np.ndarray:
        """Training images for calibration, uint8 of shape (n, height, width, channels); see `calibration.images`."""
        return calibration.images(self.run)
