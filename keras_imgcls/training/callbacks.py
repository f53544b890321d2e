"""Keras callbacks of a run: TensorBoard's files. Any other Keras callback may stand beside them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import CannotWrite

SCALARS = ("loss", "accuracy", "learning_rate", "images_per_second", "data_wait")


class TensorBoard(keras.callbacks.Callback):
    """Scalars of training and validation in two curves of one chart, a sheet of augmented images, and the graph."""

    def __init__(self, folder: Path, sheet: np.ndarray | None = None) -> None:
        """Stores the folder and the sheet (uint8, height x width x channels); files appear when training begins."""
        super().__init__()
        self._folder, self._sheet = folder, sheet

    def on_train_begin(self, logs=None) -> None:
        """Opens the event files and writes what does not change."""
        with self._told():
            self._open()

    def _open(self) -> None:
        self._train = tf.summary.create_file_writer(str(self._folder / "train"))
        self._validation = tf.summary.create_file_writer(str(self._folder / "validation"))
        with self._train.as_default():
            if self._sheet is not None:
                tf.summary.image("augmented training images", self._sheet[None], step=0)
            tf.summary.graph(_graph(self.model.model))  # not a view of a part of it

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Writes the row of the epoch."""
        with self._told():
            self._write(epoch, logs or {})

    def _write(self, epoch: int, row: dict) -> None:
        step = epoch + 1  # as in history.csv and on the console
        with self._train.as_default():
            for name in SCALARS:
                if row.get(name) is not None:
                    tf.summary.scalar(f"epoch/{name}", row[name], step=step)
        with self._validation.as_default():
            for name in ("loss", "accuracy"):
                if row.get(f"val_{name}") is not None:
                    tf.summary.scalar(f"epoch/{name}", row[f"val_{name}"], step=step)
        self._train.flush()
        self._validation.flush()

    def on_train_end(self, logs=None) -> None:
        """Closes the event files."""
        with self._told():
            self._train.close()
            self._validation.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:  # a full disk
            reason = str(error).rpartition("; ")[2].partition("\n")[0]
            raise CannotWrite(f"Can't write {self._folder}: {reason}.") from error


def _graph(view: keras.Model) -> tf.Graph:
    signature = tf.TensorSpec(view.inputs[0].shape, tf.float32)
    return (
        tf.function(lambda image: view(image, training=False), autograph=False).get_concrete_function(signature).graph
    )
