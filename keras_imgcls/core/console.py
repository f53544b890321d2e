"""What a command prints: notes, tables, one live progress line on a terminal and plain lines when piped."""

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

# Not printable to Python, but spelling: the joiners of Persian and of emoji, and spaces that don't break or are wide.
SPELLING = "\u200c\u200d\xa0\u3000"


def visible(text: str) -> str:
    """`text` with what a terminal obeys, control characters and the like, as escapes: names of files may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in SPELLING
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


def note(text: str, stream: TextIO | None = None) -> None:
    """Prints information at once, a line or more."""
    print(_lines(text), file=stream or sys.stdout, flush=True)


def warn(text: str) -> None:
    """Prints one line of warning on standard error."""
    note(f"warning: {text}", sys.stderr)


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def command(verb: str, *arguments: str) -> str:
    """A command line that can be pasted, spelt the way this process was started: launcher, console script or module."""
    launchers = os.environ.get("KERAS_IMGCLS_BIN")
    if launchers:
        start = [f"{launchers}/{verb}"]
    elif Path(sys.argv[0]).stem == "keras-imgcls":
        start = ["keras-imgcls", verb]
    else:
        start = ["python", "-m", "keras_imgcls", verb]
    return shlex.join([*start, *arguments])


@contextlib.contextmanager
def quiet(show: bool = False) -> Iterator[None]:
    """Hides what native code prints on standard error within the block, unless the block fails or `show` is on.

    TensorFlow writes some twenty lines to the descriptor itself, before any log level is read: so the descriptor has to move.
    """
    if show:
        yield
        return
    sys.stderr.flush()
    visible = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except Exception:
            hidden.seek(0)
            os.write(visible, hidden.read())
            raise
        finally:
            os.dup2(visible, 2)
            os.close(visible)


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
    """`rows` in aligned columns below `header`."""
    cells = [[str(cell) for cell in row] for row in ([header] if header else [])] + [
        [str(c) for c in row] for row in rows
    ]
    if not cells:
        return ""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    if header:
        lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as people read them: `0.4 s`, `42 s`, `3:05 min`, `2:10:00 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02} h"
    return f"{minutes}:{seconds:02} min" if minutes else f"{seconds} s"


class Progress:
    """The progress of a long job: a line that is redrawn on a terminal, a line now and then when piped."""

    def __init__(self, total: int, label: str = "", stream: TextIO | None = None, piped_seconds: float = 30.0) -> None:
        """Starts the clock; `total` is the number of units of work, `piped_seconds` the pause between plain lines."""
        self._total, self._label, self._stream = max(total, 1), label, stream or sys.stdout
        self._live = self._stream.isatty()
        self._pause = 0.1 if self._live else piped_seconds
        self._began = self._drawn = time.monotonic()
        self._start = 0

    def start_at(self, done: int) -> None:
        """Starts the clock anew with `done` units finished before, so that the ETA is right after a resume."""
        self._start, self._began = done, time.monotonic()

    def update(self, done: int, text: str = "", force: bool = False) -> None:
        """Shows `done` of the total with `text` behind it, unless the last line is too recent."""
        now = time.monotonic()
        if not force and now - self._drawn < self._pause:
            return
        self._drawn = now
        rate = (done - self._start) / max(now - self._began, 1e-9)
        eta = f"ETA {duration((self._total - done) / rate)}" if rate > 0 else ""
        parts = (self._label, f"{done / self._total:4.0%}", eta, text)
        line = visible("  ".join(part for part in parts if part))
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{line[:width]}", end="", file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)

    def clear(self) -> None:
        """Wipes the live line, so that an ordinary line can follow."""
        if self._live:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
