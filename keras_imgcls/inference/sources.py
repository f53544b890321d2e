"""Sources: the image files that a user names, and their predictions as a stream."""

import glob
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.data.decode import SUFFIXES, BadImage
from keras_imgcls.inference.predictor import Predictor

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of one file: probabilities, float32 of shape (classes,), or why it can't be read."""

    path: str
    probabilities: np.ndarray | None
    error: str = ""


def find_images(source: str) -> list[str]:
    """The image files that `source` names: files, folders (searched through) and globs, with commas between them.

    Files come in the order in which they are named, those of a folder or a glob sorted. In folders, what doesn't look
    like an image is passed over; a file that is named itself or matched by a glob is always taken.

    Raises:
        UserError: nothing is named, something is not there, or a folder or glob has no images.
    """
    if not source.strip():
        raise UserError("Which images? Give --source=FILE, a folder, or a glob in quotes.")
    if os.path.exists(source):  # a name may itself have a comma or a bracket
        return _images_at(source)
    parts = [part.strip() for part in source.split(",")]
    return [path for part in parts if part for path in _images_at(part)]


def predictions(predictor: Predictor, paths: Iterable[str], batch_size: int = 32) -> Iterator[Prediction]:
    """The predictions for files, in their order. Threads decode ahead of the network; memory holds a few batches."""

    def read(path: str) -> tuple[str, np.ndarray | str]:
        try:
            return path, predictor.read(path)
        except BadImage as error:
            return path, error.reason

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = _in_order(pool, read, paths, 2 * batch_size)
        while batch := list(islice(decoded, batch_size)):
            yield from _predict_batch(predictor, batch)


def _predict_batch(predictor: Predictor, batch: list[tuple[str, np.ndarray | str]]) -> Iterator[Prediction]:
    images = [image for _, image in batch if isinstance(image, np.ndarray)]
    rows = iter(predictor.predict(np.stack(images), len(images)) if images else ())
    for path, image in batch:
        if isinstance(image, np.ndarray):
            yield Prediction(path, next(rows))
        else:
            yield Prediction(path, None, image)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """`map`, with at most `ahead` results waiting: `pool.map` would take all of the items at once."""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _images_at(place: str) -> list[str]:
    if os.path.isdir(place):
        return _images_in(place)
    if os.path.exists(place):
        return [place]
    matches = sorted(glob.glob(place, recursive=True))
    if not matches:
        raise UserError(f"There is no file, folder or match for '{place}'.{_nearest_sibling(place)}")
    return [path for match in matches for path in (_images_in(match) if os.path.isdir(match) else [match])]


def _images_in(folder: str) -> list[str]:
    paths = [
        os.path.join(parent, name)
        for parent, names in _folders_below(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
    ]
    if not paths:
        raise UserError(f"There are no images in {folder} (looked for {' '.join(SUFFIXES)}).")
    return sorted(paths)


def _folders_below(folder: str) -> Iterator[tuple[str, list[str]]]:
    """`folder` and those below it with the names of their files. Links are followed, and no folder is entered twice."""
    entered = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
        else:
            entered.add((status.st_dev, status.st_ino))
            folders.sort()
            yield parent, names


def _nearest_sibling(place: str) -> str:
    parent = os.path.dirname(place)
    names = [os.path.join(parent, name) for name in os.listdir(parent or ".")] if os.path.isdir(parent or ".") else []
    return nearest(place, names)
