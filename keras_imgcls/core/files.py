"""Files that are whole or not there: written beside their place, flushed to the disk, renamed; and their checksums."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_imgcls.core.errors import CannotWrite

CACHE = "~/.cache/keras_imgcls"
ASIDE = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.[0-9a-f]{8}\.(?P<ending>part|old|new)(\..*)?")


def cache_folder(cache_dir: str) -> Path:
    """The folder that `--cache_dir` means."""
    return Path(cache_dir or CACHE).expanduser()


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, of the same suffix, which becomes `path` when the block ends well.

    After a failure (a full disk, a kill) `path` is what it was before.

    Raises:
        CannotWrite: as `told`.
    """
    path = Path(path)
    temporary = aside(path, f"part{path.suffix}")
    try:
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # NotADirectoryError too, where the folder couldn't be made
            temporary.unlink()


@contextlib.contextmanager
def told(path: str | Path) -> Iterator[None]:
    """What the system says of a write within the block is told with the path that the user knows.

    Raises:
        CannotWrite: the message has the path and the system's reason.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"Can't write {path}: {error.strerror or error}.") from error


def sync(path: Path) -> None:
    """Flushes a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` (UTF-8) to `path`, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON; numbers that are not finite are refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes rows as CSV below a header; None becomes an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, out.getvalue())


@contextlib.contextmanager
def folder_aside(place: Path) -> Iterator[Path]:
    """A new folder beside `place`, for `replace_folder` to take from; it is gone when the block ends."""
    folder = aside(place, "new")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replace_folder(new: Path, place: Path) -> None:
    """Puts the folder `new` at `place`, on the same disk; what was there before stays until the new one is there."""
    for path in new.rglob("*"):
        sync(path)
    old = aside(place, "old")
    if place.exists():
        os.rename(place, old)
    try:
        os.rename(new, place)
    except OSError:
        if old.exists():
            os.rename(old, place)
        raise
    sync(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def aside(path: Path, ending: str) -> Path:
    """A name beside `path` for what becomes it: hidden, and with the number of this process, so that `clear` knows it."""
    return path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.{ending}")


def clear(folder: Path) -> None:
    """Removes what processes that are gone left half written in `folder`; a folder caught in `replace_folder` is put back."""
    for path in list(folder.rglob(".*")):
        match = ASIDE.fullmatch(path.name)
        if not match or _is_alive(int(match["process"])):
            continue
        if match["ending"] == "old" and not path.with_name(match["name"]).exists():
            os.rename(path, path.with_name(match["name"]))
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # someone else's
        return True
    return process != os.getpid()  # a container's process 1 comes again; nothing of ours is half written when we clear


def digest(path: str | Path, algorithm: str = "sha256") -> str:
    """The checksum of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
