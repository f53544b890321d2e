"""The store: pixels by sample id, in batches, wherever they are. All places give the same pixels."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.files import cache_folder
from keras_imgcls.data import cache
from keras_imgcls.data.decoding import Arrays, Decoding, Files, cpu_tensor
from keras_imgcls.data.samples import Samples


class Store:
    """Pixels by sample id.

    Attributes:
        shape: height, width, channels of every image.
        place: where the pixels are: `ram`, `disk` (a memory-mapped file) or `none` (decoded when they are asked for).
    """

    shape: tuple[int, int, int]
    place: str

    def dataset(self, ids: np.ndarray, batch_size: int, drop_remainder: bool = False) -> tf.data.Dataset:
        """Batches of `(images uint8 [b, H, W, C], ids int64 [b])` in exactly the order of `ids`.

        Args:
            ids: int64 of shape (n,); a sample comes as often as it is named.
            batch_size: images in a batch.
            drop_remainder: whether a last batch that would be smaller is left out.
        """
        raise NotImplementedError


class PixelStore(Store):
    """Decoded pixels in memory or in a memory-mapped file: a batch is one gather, without a call into Python."""

    def __init__(self, pixels: np.ndarray, rows: np.ndarray, place: str) -> None:
        """Wraps `pixels`, uint8 [n, H, W, C]; `rows[id]` is where the sample `id` is."""
        self.shape, self.place = pixels.shape[1:], place
        self._pixels, self._rows = cpu_tensor(pixels), rows

    def dataset(self, ids: np.ndarray, batch_size: int, drop_remainder: bool = False) -> tf.data.Dataset:
        """See `Store.dataset`."""
        steps = len(ids) // batch_size if drop_remainder else -(-len(ids) // batch_size)
        with tf.device("/CPU:0"):
            all_ids, all_rows = tf.constant(ids, tf.int64), tf.constant(self._rows[ids], tf.int64)

        def gather(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            part = slice(step * batch_size, (step + 1) * batch_size)
            images, part_ids = tf.gather(self._pixels, all_rows[part]), all_ids[part]
            size = batch_size if drop_remainder else None
            return tf.ensure_shape(images, [size, *self.shape]), tf.ensure_shape(part_ids, [size])

        return tf.data.Dataset.range(steps).map(_plain(gather), num_parallel_calls=2)


class DecodingStore(Store):
    """Images that are decoded whenever they are asked for."""

    place = "none"

    def __init__(self, images: Files | Arrays, rows: np.ndarray, decoding: Decoding) -> None:
        """Reads `images`; `rows[id]` is where the sample `id` is."""
        self.shape = decoding.shape
        self._read, self._rows = images.reader(decoding), rows

    def dataset(self, ids: np.ndarray, batch_size: int, drop_remainder: bool = False) -> tf.data.Dataset:
        """See `Store.dataset`."""
        ids = np.asarray(ids, np.int64)
        read = _plain(lambda row, sample: (self._read(row), sample))
        dataset = tf.data.Dataset.from_tensor_slices((self._rows[ids], ids))
        return dataset.map(read, num_parallel_calls=os.cpu_count()).batch(batch_size, drop_remainder)


def open_store(
    samples: Samples, options: DataOptions, image_size: int, channels: int, deterministic: bool = False
) -> Store:
    """The pixels of `samples`, uint8 of shape (`image_size`, `image_size`, `channels`), decoded now if need be.

    Args:
        samples: what a reader gave.
        options: `resize` and `interpolation`; `cache` and `cache_dir` say where the pixels are kept.
        image_size: height and width, pixels.
        channels: 1 (grey) or 3 (RGB).
        deterministic: `--cache=auto` follows a fixed rule instead of the memory that happens to be free.

    Raises:
        UserError: files became unreadable since the reader tried them, or the cache can't be written.
    """
    decoding = Decoding(image_size, channels, options.resize, options.interpolation)
    if samples.images is not None and samples.images.shape[1:] == decoding.shape:
        return PixelStore(samples.images, np.arange(len(samples.images)), "ram")
    if samples.kept is not None and samples.kept.pixels is not None and samples.kept.decoding == decoding:
        return PixelStore(samples.kept.pixels, _rows(samples, samples.files), samples.kept.place)
    folder = cache_folder(options.cache_dir)
    size = len(samples.manifest) * image_size * image_size * channels
    place = cache.choose_place(options.cache, size, folder, deterministic)
    images, rows = _stored(samples, whole=place == "disk")
    if place == "none":
        return DecodingStore(images, rows, decoding)
    kept = cache.keep(images, decoding, place, folder)
    worse = sorted(set(kept.bad) & set(rows.tolist()))
    if worse:
        reason = f"{images.sources[worse[0]]}: {kept.bad[worse[0]]}"
        raise UserError(f"{len(worse)} of the files in {samples.root} became unreadable: {reason}.")
    return PixelStore(kept.pixels, rows, place)


def _stored(samples: Samples, whole: bool) -> tuple[Files | Arrays, np.ndarray]:
    """Where the images are, and the row of each sample there.

    A cache on the disk takes the `whole` folder, so that it serves other splits, fractions and seeds too.
    """
    if samples.images is not None:
        return Arrays(samples.name, samples.images), np.arange(len(samples.images))
    if whole and samples.files is not None:
        return samples.files, _rows(samples, samples.files)
    return Files(samples.root, samples.manifest.sources.tolist()), np.arange(len(samples.manifest))


def _rows(samples: Samples, images: Files) -> np.ndarray:
    """Where the samples are among `images`, whose sources are sorted."""
    return np.searchsorted(np.array(images.sources), samples.manifest.sources.astype(str)).astype(np.int64)


def _plain(function: Callable) -> Callable:
    """`function` without AutoGraph, which has nothing to convert here and would take a second to find that out."""
    return tf.autograph.experimental.do_not_convert(function)
