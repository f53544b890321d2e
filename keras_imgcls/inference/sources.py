"""Sources: the files that a user names."""

import glob
import os
from collections.abc import Iterator
from typing import BinaryIO

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.data.decode import SUFFIXES

STANDARD_INPUT = "-"


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


def read_paths(stream: BinaryIO) -> list[str]:
    """The paths in `stream`: with a NUL behind each (`find -print0`) where there is one, otherwise one a line.

    A path is taken as it is: brackets and commas mean nothing, and blanks belong to the name.

    Raises:
        UserError: there are none.
    """
    content = stream.read()
    paths = [os.fsdecode(part) for part in content.split(b"\0" if b"\0" in content else b"\n") if part]
    if not paths:
        raise UserError("Standard input names no images: --source=- takes one path a line, or a NUL behind each.")
    return paths


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
