"""The reference: held-out images from their raw files, and what the Keras model itself says of them."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from keras_imgcls.core import files
from keras_imgcls.core.run import Run
from keras_imgcls.data.decode import decode_image, read_image, resize_image
from keras_imgcls.data.samples import Samples
from keras_imgcls.evaluation import held_out
from keras_imgcls.inference.predictor import Predictor

BATCH = 64


@dataclass(frozen=True, eq=False)
class Reference:
    """Held-out images and what the Keras model says of them.

    Attributes:
        split: where they come from.
        images: uint8 of shape (n, height, width, channels), the pixels that the model sees.
        encoded: the same images as files: as they lie there, or as lossless PNG where the dataset has no such file.
        probabilities: float64 of shape (n, k), by the plain Keras model on the CPU.
        truth: the class index of each.
        class_names: the names of the k classes.
        data: the dataset that they are from.
    """

    split: str
    images: np.ndarray
    encoded: list[bytes]
    probabilities: np.ndarray
    truth: np.ndarray
    class_names: tuple[str, ...]
    data: Samples | None = None
    _pixels: dict = field(default_factory=dict, repr=False)

    @property
    def right(self) -> np.ndarray:
        """Whether the Keras model is right, for each image."""
        return self.probabilities.argmax(axis=1) == self.truth

    def pixels(self, resize: str, interpolation: str) -> np.ndarray:
        """The raw files as pixels of the model's size, resized like this, uint8 of the shape of `images`."""
        if (resize, interpolation) not in self._pixels:
            size, _, channels = self.images.shape[1:]
            fit = tf.function(
                lambda encoded: resize_image(decode_image(encoded, channels), size, resize, interpolation),
                input_signature=[tf.TensorSpec([], tf.string)],
                autograph=False,
            )
            self._pixels[resize, interpolation] = np.stack([fit(encoded).numpy() for encoded in self.encoded])
        return self._pixels[resize, interpolation]


def reference(
    run: Run, predictor: Predictor, samples: int, splits: Sequence[str] = ("test", "validation", "train")
) -> Reference:
    """Up to `samples` images, evenly over the first of `splits` that the run has.

    Raises:
        UserError: the data of the run is gone or has changed.
    """
    present = held_out.recorded_splits(run)
    split = next(name for name in (*splits, *present) if name in present)
    data, ids = held_out.own_samples(run, split)
    chosen = ids[np.unique(np.linspace(0, len(ids) - 1, min(samples, len(ids))).round().astype(int))]
    images = np.concatenate([np.asarray(batch[0]) for batch in held_out.batches(run, data, chosen, BATCH)])
    encoded = [encoded_image(data, row, predictor.image_shape[2]) for row in chosen]
    return Reference(
        split,
        images,
        encoded,
        keras_probabilities(predictor, images),
        data.manifest.classes()[chosen],
        predictor.class_names,
        data,
    )


def contents_digest(run: Run, data: Samples) -> str:
    """SHA-256 of what lies in the images of a run, test images included, as they are now.

    Of files it is that of the lines which `sha256sum` prints of them, in the order of `manifest.csv`; of arrays that of
    their bytes.
    """
    if data.images is not None:
        return hashlib.sha256(np.ascontiguousarray(data.images)).hexdigest()
    with run.manifest.open(newline="", encoding="utf-8") as file:
        sources = [row["source"] for row in csv.DictReader(file)]
    lines = (f"{files.digest(data.root / source)}  {source}\n" for source in sources)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def encoded_image(data: Samples, row: int, channels: int) -> bytes:
    """The bytes of a sample's file, or a PNG of its pixels where there is none that a TensorFlow graph decodes."""
    if data.images is not None:
        return tf.io.encode_png(data.images[row]).numpy()
    path = data.root / data.manifest.sources[row]
    try:
        contents = path.read_bytes()
        decode_image(tf.constant(contents), channels)
    except tf.errors.OpError:
        contents = tf.io.encode_png(read_image(path, channels)).numpy()
    return contents


def keras_probabilities(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    """Probabilities by the Keras model itself, not by the graph that is exported: on the CPU, the softmax in NumPy."""
    with tf.device("CPU:0"):
        logits = [
            predictor.model(images[start : start + BATCH].astype(np.float32), training=False).numpy()
            for start in range(0, len(images), BATCH)
        ]
    scaled = np.concatenate(logits).astype(np.float64) / predictor.temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
