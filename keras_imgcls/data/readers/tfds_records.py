"""What a prepared TFDS folder holds, read once in the order of its files, since TFRecord can't be read by index."""

import csv
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_imgcls.core import files
from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.console import Progress, note
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import decode_any
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.readers.checking import check_files
from keras_imgcls.data.readers.folder import SPLIT_NAMES
from keras_imgcls.data.samples import Samples, keeps_class_mirrored
from keras_imgcls.data.tuner import without_tuner

LARGEST_ARRAY = 4 * 2**30  # bytes; more images of one size are kept encoded, as those of many sizes are
BATCH = 256
INDEX = "index.csv"  # its last line is written last


class Part(NamedTuple):
    """One split: ours, and TFDS' name of it."""

    split: str
    name: str


def read(folder: Path, options: DataOptions, by_id: bool = False) -> Samples:
    """The samples of a prepared set.

    Args:
        folder: the folder of a version, with `dataset_info.json`.
        options: where caches are, and what happens to bad images.
        by_id: whether rows are numbered by the set's feature `id` (`train_00012`) and not by their place in the files.

    Raises:
        UserError: there is no image with a label in it, or no split that we know.
    """
    builder = tfds.builder_from_directory(folder)
    image, label = _keys(builder)
    parts = _parts(builder)
    shape = builder.info.features[image].shape
    count = sum(builder.info.splits[part.name].num_examples for part in parts)
    if None not in shape and count * int(np.prod(shape)) <= LARGEST_ARRAY:
        return _as_arrays(builder, parts, image, label, by_id)
    return _as_files(builder, parts, image, label, options)


def _as_arrays(builder: Any, parts: list[Part], image: str, label: str, by_id: bool) -> Samples:
    height, width, depth = builder.info.features[image].shape
    channels = 1 if depth == 1 else 3
    images, classes, sources, splits = [], [], [], []
    for part in parts:
        examples = _encoded(builder, part.name, image, label, by_id)

        def decode(encoded, index, name, shape=(height, width, channels)):
            return tf.ensure_shape(decode_any(encoded, shape[-1]), shape), index, name

        decode = tf.autograph.experimental.do_not_convert(decode)
        batches = list(examples.map(decode, num_parallel_calls=os.cpu_count()).batch(BATCH).as_numpy_iterator())
        pixels, found, names = (np.concatenate(column) for column in zip(*batches, strict=True))
        if _is_hidden(builder, part, found):
            continue
        numbers = np.array([int(name.rpartition(b"_")[2]) for name in names]) if by_id else np.arange(len(found))
        order = np.argsort(numbers)
        images.append(pixels[order])
        classes.append(found[order])
        sources.append(np.char.mod(f"{part.split}[%0{max(5, len(str(len(found))))}d]", numbers[order]))
        splits.append(np.full(len(found), part.split, "<U10"))
    manifest = _manifest(builder, label, *map(np.concatenate, (sources, classes, splits)))
    order = manifest.order()
    return Samples(
        builder.name,
        manifest.take(order),
        np.concatenate(images)[order],
        mirrored=keeps_class_mirrored(builder.name, manifest.class_names),
    )


def _as_files(builder: Any, parts: list[Part], image: str, label: str, options: DataOptions) -> Samples:
    root = files.cache_folder(options.cache_dir) / "tfds" / builder.info.full_name.replace("/", "-")
    index = _index(root)
    if index is None:
        _write_files(root, builder, parts, image, label)
        index = _index(root)
    sources, classes, splits = (np.array(column) for column in zip(*index, strict=True))
    classes = classes.astype(np.int64)
    for part in parts:
        if _is_hidden(builder, part, classes[splits == part.split]):
            rows = splits != part.split
            sources, classes, splits = sources[rows], classes[rows], splits[rows]
    manifest = _manifest(builder, label, sources, classes, splits)
    return check_files(builder.name, manifest, root, options)


def _write_files(root: Path, builder: Any, parts: list[Part], image: str, label: str) -> None:
    """Writes the encoded images beside `root`, then the index, then gives the folder its name: whole, or not there."""
    temporary = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}.part")
    total = sum(builder.info.splits[part.name].num_examples for part in parts)
    progress, done, text = Progress(total, f"unpacking {builder.name}"), 0, io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    try:
        for part in parts:
            (temporary / part.split).mkdir(parents=True)
            for number, (encoded, index, _) in enumerate(
                _encoded(builder, part.name, image, label).as_numpy_iterator()
            ):
                source = f"{part.split}/{number:08}{_suffix(encoded)}"
                (temporary / source).write_bytes(encoded)
                rows.writerow([source, index, part.split])
                done += 1
                progress.update(done)
        os.sync()
        files.write_text(temporary / INDEX, text.getvalue() + "\n")
        shutil.rmtree(root, ignore_errors=True)
        os.replace(temporary, root)
    except OSError as error:
        raise UserError(f"Can't write {root}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    progress.clear()
    note(f"The images of {builder.name} are kept in {root}.")


def _index(root: Path) -> list[list[str]] | None:
    """Source, class and split of each file; None where the index isn't there in full."""
    try:
        text = (root / INDEX).read_text(encoding="utf-8")
    except OSError:
        return None
    return list(csv.reader(text.splitlines()[:-1])) if text.endswith("\n\n") else None


def _encoded(builder: Any, split: str, image: str, label: str, by_id: bool = False) -> tf.data.Dataset:
    """`(encoded image, class, id)` in the order of the files; the id is empty unless it is asked for."""
    wanted = {image: True, label: True, **({"id": True} if by_id else {})}
    skip = {image: tfds.decode.SkipDecoding()}
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        source = builder.as_data_source(split, decoders=skip)

        def examples() -> Iterator[tuple[bytes, int, bytes]]:
            for example in source:
                yield example[image], example[label], example.get("id", b"") if by_id else b""

        signature = tuple(tf.TensorSpec([], dtype) for dtype in (tf.string, tf.int64, tf.string))
        return without_tuner(tf.data.Dataset.from_generator(examples, output_signature=signature))
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    decoders = tfds.decode.PartialDecoding(wanted, decoders=skip)
    dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=config, decoders=decoders)
    take = tf.autograph.experimental.do_not_convert(
        lambda example: (example[image], example[label], example.get("id", ""))
    )
    return without_tuner(dataset.map(take))


def _keys(builder: Any) -> tuple[str, str]:
    """The names of the features that hold the image and its class."""
    features = builder.info.features
    images = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Image) and feature.dtype == np.uint8
    ]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    image, label = (key if key in keys else (keys or [""])[0] for key, keys in (("image", images), ("label", labels)))
    if not image or not label:
        raise UserError(
            f"tfds:{builder.name} is no set of images with one label: it needs an Image of 8 bits and a ClassLabel, "
            f"and has {', '.join(sorted(features))}."
        )
    return image, label


def _parts(builder: Any) -> list[Part]:
    """The splits that we know."""
    parts = [Part(SPLIT_NAMES[name], name) for name in builder.info.splits if name in SPLIT_NAMES]
    others = [name for name in builder.info.splits if name not in SPLIT_NAMES]
    if not parts or len({part.split for part in parts}) < len(parts):
        names = ", ".join(builder.info.splits)
        raise UserError(f"tfds:{builder.name} has the splits {names}; expected train, validation or test, each once.")
    if others:
        note(f"{builder.name}: passed over the splits {', '.join(others)}.")
    return parts


def _manifest(builder: Any, label: str, sources: np.ndarray, classes: np.ndarray, splits: np.ndarray) -> Manifest:
    names = tuple(builder.info.features[label].names)
    return Manifest(sources, one_hot(classes, len(names)), splits, names)


def _is_hidden(builder: Any, part: Part, classes: np.ndarray) -> bool:
    """Whether a split comes without its labels (-1), as those of competitions do; said in a note."""
    hidden = bool(len(classes)) and classes.min() < 0
    if hidden:
        note(f"{builder.name}: passed over the split {part.name}, whose labels aren't told.")
    return hidden


def _suffix(encoded: bytes) -> str:
    starts = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp"}
    return starts.get(encoded[:2], ".img")
