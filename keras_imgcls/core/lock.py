"""Locks: one process at a time writes in a folder. The kernel lets go of a lock when its process ends, however it ends."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from keras_imgcls.core.console import warn
from keras_imgcls.core.errors import UserError

NAME = ".lock"


@contextlib.contextmanager
def hold(folder: Path, name: str = NAME) -> Iterator[None]:
    """Holds `folder/name` within the block. A folder that is made for it goes again if nothing else came into it.

    A file that a killed process left behind is no obstacle: what counts is `flock` on the open file.

    Raises:
        UserError: another process holds it; the message names its number and machine. Or the folder can't be written.
    """
    made = [parent for parent in (folder, *folder.absolute().parents) if not parent.exists()]
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(path)
    except OSError as error:
        raise UserError(f"Can't write {path}: {error.strerror}.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()
        with contextlib.suppress(OSError):  # not empty: it's in use
            for parent in made:
                parent.rmdir()


def require_free(folder: Path, name: str = NAME) -> None:
    """Raises UserError where another process holds the lock; touches nothing."""
    with contextlib.suppress(OSError), open(folder / name, encoding="utf-8") as file:
        _take(folder, file, fcntl.LOCK_SH)


def _locked(path: Path) -> IO[str]:
    """The open, locked file at `path`, with a line that says who we are."""
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            _take(path.parent, file, fcntl.LOCK_EX)
        except UserError:
            file.close()
            raise
        if _is_still_at(path, file):
            break
        file.close()  # its holder ended, and took the name away, between our two calls
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    file.flush()
    return file


def _take(folder: Path, file: IO[str], kind: int) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise UserError(f"{folder} is in use by {holder}: wait for it, or choose another folder.") from error
    except OSError as error:  # some network file systems have no locks
        warn(f"{folder} can't be locked ({error.strerror}): let no other process write there.")


def _is_still_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
