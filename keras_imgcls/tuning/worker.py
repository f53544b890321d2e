"""A worker: a process that trains trials, one after the other, for the search that started it.

    python -m keras_imgcls.tuning.worker

Jobs come as lines of JSON on standard input, answers go as lines of JSON to what was standard output; prints of the training
go to the log file of the job. Where the search ends, however it ends, standard input ends, and so does the worker.
"""

import contextlib
import dataclasses
import json
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from keras_imgcls.core import config as config_module
from keras_imgcls.core import lock
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import CannotWrite, UserError, is_full
from keras_imgcls.core.run import Run

END_OF_SEARCH = 3


class Paused(Exception):
    """A trial has come as far as it may for now; its checkpoint is written."""


class Channel:
    """Lines of JSON to and from the search."""

    def __init__(self) -> None:
        """Takes standard input and output; from here on prints go to standard error."""
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(END_OF_SEARCH)  # at once, in the middle of a step too: another search may continue this trial

    def receive(self) -> dict[str, Any]:
        """The next message, waited for."""
        return json.loads(self._lines.get())

    def send(self, **message: Any) -> None:
        """Sends a message."""
        print(json.dumps(message), file=self._out, flush=True)


def serve(channel: Channel) -> None:
    """Does jobs until the search ends; a job that fails is answered with the reason."""
    while True:
        job = channel.receive()
        _log_to(job["log"])
        try:
            answer = JOBS[job["job"]](channel, job)
        except Exception as error:  # whatever it was, it is the trial's, and the search goes on
            import traceback

            with contextlib.suppress(OSError):  # the disk may be full
                traceback.print_exc()
            unwritten = isinstance(error, CannotWrite) or is_full(error)
            channel.send(failed=reason_of(error), unwritten=unwritten, memory=_memory())
        else:
            channel.send(done=answer, memory=_memory())


def reason_of(error: Exception) -> str:
    """The first line of what went wrong, with running out of memory by that name."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"out of memory: {text or type(error).__name__}"
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def settle(_: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """What `auto` chooses for the flags of the job, and what a trial's cost depends on."""
    from keras_imgcls.core.plugins import load_plugins
    from keras_imgcls.experiment import prepare

    config = _config(job)
    load_plugins(config.plugin)
    ready = prepare.prepare(config, parts=_parts())
    manifest = ready.samples.manifest
    counts = {split: len(manifest.ids(split)) for split in ("train", "validation", "test")}
    return {"flags": dataclasses.asdict(ready.config), "classes": len(manifest.class_names), "images": counts}


def cost(_: Channel, job: dict[str, Any]) -> dict[str, float]:
    """Parameters, multiply-adds, size of the int8 file and, where asked for, its latency, of a model that is not trained."""
    from keras_imgcls.core.model_arguments import settle_model
    from keras_imgcls.core.plugins import load_plugins
    from keras_imgcls.tuning import costs

    config = _config(job)
    load_plugins(config.plugin)
    shape = (config.image_size, config.image_size, config.channels)
    return costs.of(settle_model(config).model, shape, job["classes"], job["convert"], job["limit_kb"])


def train(channel: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """Trains until the search says that it is enough: begins a run, or goes on with it where it stands."""
    from keras_imgcls.experiment import train as experiment

    config = _config(job)
    run = Run(config.run_dir)
    if run.flags.is_file():
        config = config_module.replace(run.config, run_dir=config.run_dir, resume=True)
    _wait_for(run)
    pause = pausing(run, job["until"], job["known"], channel)
    with contextlib.suppress(Paused):
        experiment.train(config, callbacks=[pause], parts=_parts())
    return {"epoch": pause.reported}


@cache
def _parts() -> Any:
    """What one trial takes over from another."""
    from keras_imgcls.experiment.parts import KeptParts

    return KeptParts()


def _wait_for(run: Run) -> None:
    """Gives the worker of a search that was just killed a moment to be gone."""
    for _ in range(20):
        with contextlib.suppress(UserError):
            return lock.require_free(run.path)
        time.sleep(0.5)


def conclude(_: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """Ends a run where it stands: its best weights are looked at once on the test split."""
    import keras

    from keras_imgcls.experiment import train as experiment

    class Stop(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.stop_training = True

    run = Run(job["flags"]["run_dir"])
    config = config_module.replace(run.config, run_dir=str(run.path), resume=True)
    return experiment.train(config, callbacks=[Stop()]).read_metrics()


def pausing(run: Run, until: int, known: int, channel: Channel) -> Any:
    """A Keras callback: reports each epoch of `run` from `known` on, and raises `Paused` where the answer is to go no further.

    It speaks when the next epoch begins and the checkpoint of the last one is written. No training comes to its end with it, so
    that no trial looks at the test split.
    """
    import keras

    class Pausing(keras.callbacks.Callback):
        reported = known
        limit = until

        def on_epoch_begin(self, epoch, logs=None):
            self._report(epoch)
            if epoch >= self.limit:
                raise Paused

        def on_train_end(self, logs=None):
            if sys.exc_info()[0] is None:  # called on the way out of a failure too, which is not to be hidden
                self._report(None)
                raise Paused

        def _report(self, epochs: int | None) -> None:
            rows = run.read_history()[:epochs] if run.history.is_file() else []
            for row in rows[self.reported :]:
                channel.send(
                    epoch=int(row["epoch"]), metrics={name: float(value) for name, value in row.items() if value}
                )
                self.limit = channel.receive()["until"]
                self.reported += 1

    return Pausing()


JOBS: dict[str, Callable[[Channel, dict[str, Any]], dict[str, Any]]] = {
    "settle": settle,
    "cost": cost,
    "train": train,
    "conclude": conclude,
}


def _config(job: dict[str, Any]) -> TrainConfig:
    return TrainConfig(**job["flags"])


def _log_to(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _memory() -> float:
    """The most memory that this process has had, MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Serves; what takes seconds to import is there before the first job is."""
    channel = Channel()
    from keras_imgcls.experiment import train  # noqa: F401

    serve(channel)


if __name__ == "__main__":
    main()
