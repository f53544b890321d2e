"""From stored images to pixels of one shape, row by row: files are decoded, arrays are at hand, both are resized."""

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_imgcls.data.decode import decode_any, read_image, resize_image, with_channels


@dataclass(frozen=True)
class Decoding:
    """How an image of any size becomes the pixels that a model sees.

    Attributes:
        image_size: height and width, pixels.
        channels: 1 (grey) or 3 (RGB).
        resize: `squash`, `crop` or `pad`; see `decode.resize_image`.
        interpolation: `bilinear`, `bicubic`, `area` or `nearest`.
    """

    image_size: int
    channels: int
    resize: str
    interpolation: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.image_size, self.image_size, self.channels

    def resized(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 [height, width, channels] as uint8 of `shape`."""
        return resize_image(image, self.image_size, self.resize, self.interpolation)


class Files:
    """Image files below a folder."""

    def __init__(self, root: Path, sources: Sequence[str]) -> None:
        """Names the files: `sources` are paths relative to `root`."""
        self.root, self.sources = Path(root), tuple(sources)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def name(self) -> str:
        """What tells this collection from others, whatever the files hold."""
        return str(self.root.resolve())

    @cached_property
    def fingerprint(self) -> str:
        """A digest of names, sizes and times of change: another one where any file is another."""
        digest = hashlib.sha256()
        for source in self.sources:
            status = os.stat(self.root / source)
            digest.update(f"{source}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def reader(self, decoding: Decoding) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function in graph ops from a row (int64 scalar) to pixels; a bad file is a `tf.errors.OpError` there."""
        paths = tf.constant([os.fsencode(self.root / source) for source in self.sources])
        read = _file_reader(decoding)
        return lambda row: read(paths[row])

    def read(self, row: int, decoding: Decoding) -> np.ndarray:
        """The pixels of one file.

        Raises:
            BadImage: the file can't be read or decoded.
        """
        return decoding.resized(read_image(self.root / self.sources[row], decoding.channels)).numpy()


class Arrays:
    """Images of one size that are in memory, uint8 [n, height, width, channels]."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        """Wraps `images`; `name` tells them from other collections."""
        self.name, self.images = name, images

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the pixels."""
        return hashlib.sha256(np.ascontiguousarray(self.images)).hexdigest()

    def reader(self, decoding: Decoding) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function in graph ops from a row (int64 scalar) to pixels."""
        images, convert = cpu_tensor(self.images), tf.function(self._converted, autograph=False)
        return lambda row: convert(images[row], decoding)

    def read(self, row: int, decoding: Decoding) -> np.ndarray:
        """The pixels of one row."""
        return self._converted(tf.constant(self.images[row]), decoding).numpy()

    @staticmethod
    def _converted(image: tf.Tensor, decoding: Decoding) -> tf.Tensor:
        return decoding.resized(with_channels(image, decoding.channels))


@functools.cache
def _file_reader(decoding: Decoding) -> Callable[[tf.Tensor], tf.Tensor]:
    """From a path to pixels, traced once: that takes 0.2 s, and each epoch makes a dataset of it."""

    def read(path: tf.Tensor) -> tf.Tensor:
        return decoding.resized(decode_any(tf.io.read_file(path), decoding.channels))

    return tf.function(read, autograph=False, input_signature=[tf.TensorSpec([], tf.string)])


def cpu_tensor(array: np.ndarray) -> tf.Tensor:
    """`array` as a tensor in host memory, of the same memory where that is possible.

    A memory-mapped file stays on the disk until rows of it are gathered. Functions capture the tensor: as a constant in
    a graph it could not be larger than 2 GB.
    """
    with tf.device("/CPU:0"):
        aligned = array.ctypes.data % 64 == 0 and array.flags.c_contiguous and array.flags.writeable
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__()) if aligned and array.size else tf.constant(array)
