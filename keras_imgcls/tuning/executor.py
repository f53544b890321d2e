"""The executor of trials: what a search asks of whoever trains them, and the one that keeps a worker process on this machine."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from keras_imgcls.core import model_arguments
from keras_imgcls.core.children import ending
from keras_imgcls.core.errors import CannotWrite

GROWTH = 1.5  # a worker that has come to this multiple of its memory after the first trial is replaced
ADVICE = "fewer --workers, or a smaller --batch_size, --image_size or model, need less"
ARCHITECTURE = ("model", "image_size", *model_arguments.FLAGS)
ROOT = Path(__file__).parents[2]


class TrialFailed(Exception):
    """A trial can't go on; the text is the reason."""


class Executor(Protocol):
    """Does jobs: on this machine, or elsewhere."""

    def run(self, job: dict[str, Any], answer: Callable[[int, dict[str, float]], int] | None = None) -> dict[str, Any]:
        """Does `job` and returns what came of it.

        Args:
            job: its name (`settle`, `cost`, `train`, `conclude`) and what it needs, see `worker`.
            answer: `(epoch, metrics) -> the epoch to go to`, called after each epoch of a training.

        Raises:
            TrialFailed: with the reason.
            CannotWrite: the disk is full or the like, which is no fault of the trial.
        """

    def close(self) -> None:
        """Lets go of what it holds."""


class LocalExecutor:
    """One worker process, started when it is needed, kept while the architecture stays the same and memory does not grow."""

    command = (sys.executable, "-m", "keras_imgcls.tuning.worker")

    def __init__(self, show_log: bool = False, most_memory: float = 0.0) -> None:
        """`most_memory`: MiB from which on a worker is replaced after its job; 0: half as much again as after its first."""
        self._environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "TF_CPP_MIN_LOG_LEVEL": "0" if show_log else "3",
        }  # fmt: skip
        self._most, self._limit = most_memory, most_memory
        self._process: subprocess.Popen | None = None
        self._architecture = ""
        self.started = 0

    def start(self) -> None:
        """Starts the worker ahead of its first job, so that its imports are done by then."""
        if not self._process:
            self._start()

    def run(self, job: dict[str, Any], answer: Callable[[int, dict[str, float]], int] | None = None) -> dict[str, Any]:
        """As `Executor.run`."""
        architecture = " ".join(str(job["flags"].get(name)) for name in ARCHITECTURE)
        if job["job"] == "train" and self._architecture and architecture != self._architecture:
            self.close()
        process = self._process or self._start()
        if job["job"] == "train":
            self._architecture = architecture
        try:
            self._send(process, job)
            while True:
                message = self._receive(process)
                if "epoch" not in message:
                    break
                until = answer(message["epoch"], message["metrics"]) if answer else 10**9
                self._send(process, {"until": until})
        except (BrokenPipeError, EOFError):
            raise TrialFailed(self._death(process, job["log"])) from None
        except BaseException:  # the answer failed or the search ends: what the worker does now is nobody's
            self.close()
            raise
        if job["job"] == "train":
            self._mind_memory(message["memory"])
        if "failed" in message:
            raise (CannotWrite if message.get("unwritten") else TrialFailed)(message["failed"])
        return message["done"]

    def close(self) -> None:
        """Ends the worker."""
        process, self._process, self._architecture = self._process, None, ""
        if process:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def _start(self) -> subprocess.Popen:
        self.started += 1
        self._limit = self._most
        # Its own session: Ctrl-C reaches the search alone, which ends its workers in order.
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environment,
            text=True, start_new_session=True,
        )  # fmt: skip
        return self._process

    def _send(self, process: subprocess.Popen, message: dict[str, Any]) -> None:
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()

    def _receive(self, process: subprocess.Popen) -> dict[str, Any]:
        line = process.stdout.readline()
        if not line.endswith("\n"):
            raise EOFError
        return json.loads(line)

    def _mind_memory(self, memory: float) -> None:
        self._limit = self._limit or GROWTH * memory
        if memory > self._limit:
            self.close()

    def _death(self, process: subprocess.Popen, log: str) -> str:
        code = process.wait()
        self.close()
        lines = Path(log).read_text(encoding="utf-8", errors="replace").split("\n") if Path(log).is_file() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"the worker {ending(code, ADVICE, last)}"
