"""One benchmark at a time: two that run together measure each other."""

import contextlib
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "keras_imgcls-benchmark.lock"


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Waits, saying so, until no other benchmark runs on this machine. A killed process leaves no lock behind."""
    # Not truncated, and open to all users of the machine: the file is theirs too.
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    with open(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another benchmark is running; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
