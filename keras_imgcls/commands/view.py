"""View: TensorBoard on localhost."""

import os
import socket
import sys
from pathlib import Path

from keras_imgcls.core.config import ViewConfig
from keras_imgcls.core.console import note, warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run

USAGE = """Look at a run, or at a folder of runs, in TensorBoard.

  bin/view --run_dir=RUN
  bin/view --run_dir=runs --port=0

It listens on this machine alone. Ctrl-C ends it."""
CONFIG = ViewConfig
HOST = "127.0.0.1"


def run(config: ViewConfig) -> int:
    """Becomes TensorBoard (`exec`), so that signals and the exit code are its own."""
    folder = log_folder(config.run_dir)
    port = free_port(config.port)
    if not any(folder.rglob("events.out.tfevents.*")):
        warn(f"there is nothing to show in {folder} yet; it will come up when a run writes it.")
    note(f"TensorBoard: http://{HOST}:{port}/ (Ctrl-C ends it)")
    start = "from keras_imgcls import startup; startup.tensorboard()"
    arguments = [f"--logdir={folder.resolve()}", f"--host={HOST}", f"--port={port}"]
    os.execv(sys.executable, [sys.executable, "-c", start, *arguments])


def log_folder(path: str) -> Path:
    """Where TensorBoard looks: the `tensorboard` folder of a run, or the folder of runs itself.

    Raises:
        UserError: there is no such folder.
    """
    if not Path(path).is_dir():
        raise UserError(f"There is no folder '{path}': give --run_dir=RUN, or the folder that your runs lie in.")
    run_dir = Run(path)
    return run_dir.tensorboard if run_dir.tensorboard.is_dir() else run_dir.path


def free_port(port: int) -> int:
    """`port` where it is free, any free one for 0.

    Raises:
        UserError: something listens there already, or the port may not be had.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was let go a moment ago is free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"Port {port} can't be had ({error.strerror}): give another --port, or --port=0 for any free one."
            ) from error
        return probe.getsockname()[1]
