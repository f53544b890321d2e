"""What is seen while a search runs: a table that grows, and below it, on a terminal, the trials that are being trained."""

import shutil
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, TextIO

from keras_imgcls.core.console import duration, note
from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.objective import Objective

PIPED_SECONDS = 30.0


class Board:
    """One line a trial that ended or paused; live lines of the others on a terminal, one now and then when piped."""

    def __init__(
        self, objective: Objective, total: int, workers: int, past: Sequence[Record] = (), stream: TextIO | None = None
    ) -> None:
        """Starts the clock.

        Args:
            objective: what the scores are of.
            total: trials at most; 0: not known.
            workers: trials at a time.
            past: what is known from before a resume.
            stream: where it is printed; standard output.
        """
        self._objective, self._total, self._workers = objective, total, max(workers, 1)
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._lock = threading.RLock()
        self._running: dict[str, dict[str, Any]] = {}
        self._scores = {record.name: record.best(objective.metric, objective.largest) for record in past}
        self._scores = {name: score for name, score in self._scores.items() if score is not None}
        self._ended = {record.name for record in past if record.status in ("ended", "failed")}
        self._before, self._began, self._drawn, self._lines = len(self._ended), time.monotonic(), time.monotonic(), 0
        print(self._row("trial", "epoch", self._objective.name, "best", "values"), file=self._stream, flush=True)

    def began(self, name: str, values: dict[str, Any]) -> None:
        """A trial begins, or goes on."""
        with self._lock:
            self._running[name] = {"values": values, "epoch": 0}
            self._draw()

    def epoch(self, name: str, epoch: int, score: float, goes_on: bool) -> None:
        """A trial has come to the end of an epoch (counted from 1), and goes on or is about to end."""
        with self._lock:
            self._running[name]["epoch"] = epoch
            best = self._scores.get(name)
            if best is None or self._objective.sign(score) > self._objective.sign(best):
                self._scores[name] = score
            self._draw(name if goes_on else "")

    def ended(self, name: str, reason: str) -> None:
        """A trial pauses, ends, or fails for `reason`."""
        with self._lock:
            self._wipe()
            row = self._running.pop(name)
            self._ended.add(name)
            text = f"failed: {reason}" if reason else _spelt(row["values"])
            note(self._line(name, row["epoch"], text), self._stream)
            self._draw(told=True)

    def close(self) -> None:
        """Wipes the live lines."""
        with self._lock:
            self._wipe()

    def best(self) -> tuple[str, float] | None:
        """Name and score of the best trial so far."""
        if not self._scores:
            return None
        name = max(self._scores, key=lambda name: self._objective.sign(self._scores[name]))
        return name, self._scores[name]

    def _line(self, name: str, epoch: int, text: str) -> str:
        score, best = self._scores.get(name), self.best()
        shown = ["" if value is None else f"{value:.4f}" for value in (score, best and best[1])]
        return self._row(name, str(epoch or ""), *shown, text)

    def _row(self, name: str, epoch: str, score: str, best: str, text: str) -> str:
        return f"{name:<6} {epoch:>5}  {score:>{max(len(self._objective.name), 7)}}  {best:>7}  {text}"

    def _draw(self, name: str = "", told: bool = False) -> None:
        """The live lines; when piped, now and then where `name` is on its way, or how many trials have `told`."""
        now = time.monotonic()
        if not self._live:
            if (name or told) and now - self._drawn >= PIPED_SECONDS:
                self._drawn = now
                line = self._line(name, self._running[name]["epoch"], "… ") if name else ""
                print(f"{line}{self._progress()}", file=self._stream, flush=True)
            return
        self._wipe()
        width = shutil.get_terminal_size().columns - 1
        lines = [self._line(name, row["epoch"], f"… {_spelt(row['values'])}") for name, row in self._running.items()]
        lines.append(self._progress())
        print("\n".join(line[:width] for line in lines), file=self._stream, flush=True)
        self._lines = len(lines)

    def _wipe(self) -> None:
        if self._lines:
            print(f"\x1b[{self._lines}A\x1b[J", end="", file=self._stream, flush=True)
            self._lines = 0

    def _progress(self) -> str:
        return f"{len(self._ended)} of {self._total or '?'} trials  {self._eta()}".rstrip()

    def _eta(self) -> str:
        done, left = len(self._ended) - self._before, self._total - len(self._ended)
        if done < 1 or left < 1:
            return ""
        return f"ETA {duration((time.monotonic() - self._began) / done * left)}"


def _spelt(values: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in values.items())
