"""Decoded images, kept in memory or on the disk: each file is decoded once, and the bad ones are found on the way."""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
import PIL
import tensorflow as tf

from keras_imgcls.core import console, files
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import BadImage
from keras_imgcls.data.decoding import Arrays, Decoding, Files
from keras_imgcls.data.memory import available_memory
from keras_imgcls.data.tuner import without_tuner

DETERMINISTIC_RAM = 2 * 2**30  # bytes; under --deterministic the choice may not follow the machine
BATCH = 32
ABANDONED_AFTER = 3600  # seconds; a fill that is alive writes more often


@dataclass(frozen=True, eq=False)
class Kept:
    """What a pass over images leaves.

    Attributes:
        place: `ram`, `disk` or `none`.
        decoding: how they were decoded.
        pixels: uint8 [n, height, width, channels], a memory-mapped file or an array; None where nothing is kept.
        bad: rows that can't be decoded, with the reasons; their pixels are black.
    """

    place: str
    decoding: Decoding
    pixels: np.ndarray | None = None
    bad: dict[int, str] = field(default_factory=dict)


def choose_place(cache: str, size: int, folder: Path, deterministic: bool = False) -> str:
    """`ram`, `disk` or `none`: what `--cache` says; `auto` takes a quarter of the free RAM at most, else the disk.

    Args:
        cache: the flag.
        size: bytes of all decoded images.
        folder: where the disk's cache would be.
        deterministic: the bound is `DETERMINISTIC_RAM`, whatever is free.
    """
    if cache != "auto":
        return cache
    if size <= (DETERMINISTIC_RAM if deterministic else available_memory() // 4):
        return "ram"
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if size < shutil.disk_usage(existing).free and os.access(existing, os.W_OK):
        return "disk"
    console.note(
        f"Decoded images ({size / 2**30:.1f} GiB) fit neither into memory nor into {folder}: decoding in each epoch."
    )
    return "none"


def keep(images: Files | Arrays, decoding: Decoding, place: str, folder: Path) -> Kept:
    """Decodes all `images` and keeps them in `place`; with `none` they are only tried.

    Raises:
        UserError: the disk cache can't be written.
    """
    if place == "disk":
        return _keep_on_disk(images, decoding, folder)
    if place == "none":
        return Kept("none", decoding, None, _decode_all(images, decoding, lambda row, image: None))
    shape = (len(images), *decoding.shape)
    # Anonymous memory begins at a page, so that TensorFlow can use it without a copy.
    pixels = np.frombuffer(mmap.mmap(-1, max(int(np.prod(shape)), 1)), np.uint8, int(np.prod(shape))).reshape(shape)
    return Kept("ram", decoding, pixels, _decode_all(images, decoding, pixels.__setitem__))


def recall(images: Files, folder: Path) -> tuple[dict[int, str], list[list[int]]] | None:
    """The bad and the identical ones among files that were all looked at before and are as they were, else None."""
    record = _read_json(_record_path(images, folder))
    if record.get("fingerprint") != images.fingerprint or "identical" not in record:
        return None
    return _bad_rows(record), record["identical"]


def remember(images: Files, bad: dict[int, str], identical: list[list[int]], folder: Path) -> None:
    """Notes which files are bad and which hold the same bytes, as rows, for `recall`.

    A folder that can't be written only costs the time of another look.
    """
    found = {"fingerprint": images.fingerprint, "bad": bad, "identical": identical}
    with contextlib.suppress(UserError):
        files.write_json(_record_path(images, folder), found)


def _decode_all(images: Files | Arrays, decoding: Decoding, write: Callable[[int, np.ndarray], None]) -> dict[int, str]:
    """Calls `write(row, pixels)` for each row, decoding on all cores; the rows that are bad, with the reasons."""
    done = np.zeros(len(images), bool)
    progress = console.Progress(len(images), "decoding images")
    for rows, batch in _good_batches(images, decoding):
        for row, image in zip(rows, batch, strict=True):
            write(row, image)
        done[rows] = True
        progress.update(int(done.sum()))
    bad = {}
    for row in np.flatnonzero(~done).tolist():
        try:
            write(row, images.read(row, decoding))
        except BadImage as error:
            bad[row] = error.reason
        progress.update(len(images), f"{len(bad)} bad")
    progress.clear()
    return bad


def _good_batches(images: Files | Arrays, decoding: Decoding):
    """Batches of (rows, pixels). Each bad image loses its batch: what never comes is for the caller to look at."""
    read = images.reader(decoding)
    with_row = tf.autograph.experimental.do_not_convert(lambda row: (row, read(row)))
    dataset = tf.data.Dataset.range(len(images)).map(with_row, num_parallel_calls=os.cpu_count()).batch(BATCH)
    iterator = iter(without_tuner(dataset.prefetch(2)))
    for _ in range(2 * len(images) + 1):  # an iterator that only ever fails must end too
        try:
            rows, batch = next(iterator)
            yield rows.numpy(), batch.numpy()
        except StopIteration:
            return
        except tf.errors.OpError:
            continue


def _keep_on_disk(images: Files | Arrays, decoding: Decoding, folder: Path) -> Kept:
    identity = [images.name, *map(str, astuple(decoding)), tf.__version__, PIL.__version__]
    path = folder / "pixels" / f"{hashlib.sha256(repr(identity).encode()).hexdigest()[:24]}.npy"
    found = _open(path, images, decoding)
    if found is None:
        _clear_abandoned(path.parent)
        bad, digest = _write(path, images, decoding)
        files.write_json(
            path.with_suffix(".json"),
            {**_status(path), "sha256": digest, "fingerprint": images.fingerprint, "bad": bad},
        )
        found = _open(path, images, decoding)
        console.note(f"Decoded images are kept in {path} ({path.stat().st_size / 2**20:,.0f} MiB).")
    return found


def _write(path: Path, images: Files | Arrays, decoding: Decoding) -> tuple[dict[int, str], str]:
    shape = (len(images), *decoding.shape)
    with files.atomic(path) as temporary:
        mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        offset, stride = mapped.offset, int(np.prod(decoding.shape))
        del mapped  # on a full disk writing to a map kills the process, writing to the file raises
        with open(temporary, "r+b") as file:

            def write(row: int, image: np.ndarray) -> None:
                file.seek(offset + int(row) * stride)
                file.write(image.tobytes())

            bad = _decode_all(images, decoding, write)
        digest = files.digest(temporary)
    return bad, digest


def _open(path: Path, images: Files | Arrays, decoding: Decoding) -> Kept | None:
    """What is kept at `path`, if it is whole and of these images."""
    record = _read_json(path.with_suffix(".json"))
    if not path.is_file() or record.get("fingerprint") != images.fingerprint:
        return None
    # A copied cache has another time of change: then its checksum decides.
    if {name: record.get(name) for name in ("bytes", "changed")} != _status(path) and files.digest(path) != record.get(
        "sha256"
    ):
        console.warn(f"{path} is damaged: decoding the images anew.")
        return None
    return Kept("disk", decoding, np.load(path, mmap_mode="c"), _bad_rows(record))


def _status(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns}


def _clear_abandoned(folder: Path) -> None:
    """Removes what killed processes left half written."""
    for path in folder.glob(".*.part.npy") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_AFTER:
                path.unlink()


def _record_path(images: Files, folder: Path) -> Path:
    return folder / "checked" / f"{hashlib.sha256(images.name.encode()).hexdigest()[:24]}.json"


def _read_json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _bad_rows(record: dict) -> dict[int, str]:
    return {int(row): reason for row, reason in record.get("bad", {}).items()}
