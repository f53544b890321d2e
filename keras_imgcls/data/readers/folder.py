"""A folder of class folders, with or without train, validation and test folders above them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.console import note, warn
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.data.decode import SUFFIXES
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.readers.checking import check_files
from keras_imgcls.data.samples import Samples

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

PHOTOS_UNREAD = (".heic", ".heif", ".jxl", ".dng")  # what cameras and phones write besides JPEG
NAMED = 10


def read_folder(options: DataOptions) -> Samples:
    """The images in `--data_dir`: class folders, or class folders below `train`, `val` and `test` (in any case).

    A class is called like its folder. Images further down belong to it too. Links to files and folders are followed,
    but no folder is entered from within itself. Hidden files, those without a suffix of an image, and names that are no
    printable text are passed over, and counted in a note; class folders without images, and photos that nothing here
    decodes, are a warning.

    Raises:
        UserError: there is no such folder or no image in it, images can't be decoded, or a class has a name that is no
            line of text.
    """
    root = Path(options.data_dir).expanduser()
    if not root.is_dir():
        raise UserError(_missing(root))
    passed_over = Counter()
    folders = [
        (split, folder, [*_images(folder, (), passed_over)]) for split, folder in _class_folders(root, passed_over)
    ]
    found = [
        (path.relative_to(root).as_posix(), split, folder.name) for split, folder, paths in folders for path in paths
    ]
    empty = [folder.relative_to(root).as_posix() for _, folder, paths in folders if not paths]
    if empty and found:
        warn(f"{root}: no images in {_listed(empty)}.")
    unread = [suffix for suffix in PHOTOS_UNREAD if passed_over[f"*{suffix} files"]]
    if unread:
        warn(f"{root}: no decoder reads {' and '.join(unread)} files; convert them to JPEG, or they take no part.")
    if passed_over:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in passed_over.most_common())
        note(f"{root}: passed over {reasons}.")
    if not found:
        raise UserError(f"There are no images in class folders in {root}. {_expected(root)}")
    manifest = _manifest(sorted(found))
    return check_files(root.resolve().name, manifest, root, options)


def _manifest(found: list[tuple[str, str, str]]) -> Manifest:
    sources, splits, classes = (np.array(column) for column in zip(*found, strict=True))
    names = sorted(set(classes.tolist()))
    labels = one_hot([names.index(name) for name in classes], len(names))
    return Manifest(sources, labels, splits, tuple(names))


def _class_folders(root: Path, passed_over: Counter) -> Iterator[tuple[str, Path]]:
    """Each class folder with its split."""
    folders, files = _folders(root), [entry for entry in _entries(root) if not entry.is_dir()]
    if files:
        passed_over["files outside of class folders"] += len(files)
    splits = _split_folders(folders)
    if not splits:
        yield from (("train", folder) for folder in folders)
        return
    others = [folder.name for folder in folders if folder not in splits.values()]
    if others:
        passed_over[f"folders beside {', '.join(path.name for path in splits.values())} ({', '.join(others)})"] = len(
            others
        )
    for split, above in splits.items():
        files = [entry for entry in _entries(above) if not entry.is_dir()]
        if files:
            passed_over["files outside of class folders"] += len(files)
        yield from ((split, folder) for folder in _folders(above))


def _split_folders(folders: list[Path]) -> dict[str, Path]:
    """The folders that hold splits, by split; none where the folders are classes that happen to be called so."""
    splits = {}
    for folder in folders:
        split = SPLIT_NAMES.get(folder.name.lower())
        if split and _folders(folder):
            if split in splits:
                raise UserError(
                    f"{folder.parent} has two folders for one split: {splits[split].name} and {folder.name}."
                )
            splits[split] = folder
    return splits if "train" in splits or len(splits) == len(folders) else {}


def _images(folder: Path, above: tuple[tuple[int, int], ...], passed_over: Counter) -> Iterator[Path]:
    """The image files below `folder`; `above` holds device and inode of the folders that were entered to get here."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        passed_over["folders that hold themselves"] += 1
        return
    for entry in _entries(folder):
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            passed_over["hidden files"] += 1
        elif not entry.name.isprintable():
            passed_over["files and folders whose names aren't printable text"] += 1
        elif entry.is_dir():
            yield from _images(Path(entry.path), (*above, identity), passed_over)
        elif not entry.is_file():
            passed_over["links to nothing and devices"] += 1
        elif suffix not in SUFFIXES:
            passed_over[f"*{suffix} files" if suffix else "files without a suffix"] += 1
        else:
            yield Path(entry.path)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith(".")]


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"Can't look into {folder}: {error.strerror}.") from error


def _missing(root: Path) -> str:
    if root.exists():
        return f"{root} is no folder. {_expected(root.parent)}"
    parent = root.parent
    siblings = [entry.name for entry in _entries(parent) if entry.is_dir()] if parent.is_dir() else []
    return f"There is no folder {root}.{nearest(root.name, siblings)} {_expected(root)}"


def _expected(root: Path) -> str:
    return (
        f"Expected one folder a class, such as {root / 'cat' / '1.jpg'} and {root / 'dog' / '2.jpg'}, "
        "or the same below train, val and test."
    )
