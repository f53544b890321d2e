"""SIGTERM and Ctrl-C: the first asks for an orderly end, the second ends the process at once.

`obey` (the entry point calls it) turns the first signal into `Interrupted`, raised where the main thread is. Within
`orderly` nothing is raised: the long job asks `requested` where it can stop, saves, and raises `Interrupted` itself.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

GRACE = 30.0  # seconds; what Kubernetes and Slurm leave between SIGTERM and SIGKILL
HANDLED = (signal.SIGTERM, signal.SIGINT)
SECOND = ": the step in hand is finished and the run saved; once more ends it at once.\n"

_received: list[int] = []
_orderly: list[bool] = []
_timers: list[threading.Timer] = []


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        """`number` is the signal."""
        super().__init__(signal.Signals(number).name)

    @property
    def code(self) -> int:
        """The exit code that shells give to a process ended by the signal: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + signal.Signals[self.args[0]]


def obey() -> None:
    """Handles SIGTERM and Ctrl-C from now on; a signal that is ignored (`nohup`, a shell's `&`) stays ignored."""
    for number in HANDLED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Within the block a first signal is noted, for `requested` and `check`; handlers are put back behind it.

    In a thread that isn't the main one, where Python allows no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HANDLED}
    obey()
    _orderly.append(True)
    try:
        yield
    finally:
        _orderly.pop()
        for number, handler in before.items():
            signal.signal(number, handler)
        if not _orderly and _handle not in before.values():  # a notebook goes on after it was interrupted
            _received.clear()
            for timer in _timers:
                timer.cancel()


def requested() -> int | None:
    """The signal that asked for an end, if one did."""
    return _received[0] if _received else None


def check() -> None:
    """Raises Interrupted if a signal asked for an end."""
    if _received:
        raise Interrupted(_received[0])


def _handle(number: int, frame) -> None:
    if _received:
        os._exit(128 + number)
    _received.append(number)
    if not _orderly:
        raise Interrupted(number)
    # os.write: a signal may fall into a print, and Python's own streams can't be entered twice.
    os.write(2, f"{signal.Signals(number).name}{SECOND}".encode())
    end = threading.Timer(GRACE, os._exit, [128 + number])
    end.daemon = True
    end.start()
    _timers.append(end)
