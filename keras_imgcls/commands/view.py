"""View: TensorBoard, or the web page of a run, on localhost."""

import os
import socket
import sys
from pathlib import Path

from keras_imgcls.core.config import ViewConfig
from keras_imgcls.core.console import command, note, warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run, open_run

USAGE = """Look at a run, or at a folder of runs, in TensorBoard; or at the web page of a run.

  bin/view --run_dir=RUN
  bin/view --run_dir=runs --port=0
  bin/view --run_dir=RUN --web

It listens on this machine alone. Ctrl-C ends it. Browsers give a page the camera if it comes from localhost, as here, or by
https: to try it on a phone, put RUN/export/web on a server that has https."""
CONFIG = ViewConfig
HOST = "127.0.0.1"


def run(config: ViewConfig) -> int:
    """Becomes TensorBoard or Python's file server (`exec`), so that signals and the exit code are their own."""
    if config.web:
        serve_page(config)
    folder = log_folder(config.run_dir)
    port = free_port(config.port)
    if not any(folder.rglob("events.out.tfevents.*")):
        warn(f"there is nothing to show in {folder} yet; it will come up when a run writes it.")
    note(f"TensorBoard: http://{HOST}:{port}/ (Ctrl-C ends it)")
    start = "from keras_imgcls import startup; startup.tensorboard()"
    arguments = [f"--logdir={folder.resolve()}", f"--host={HOST}", f"--port={port}"]
    os.execv(sys.executable, [sys.executable, "-c", start, *arguments])


def serve_page(config: ViewConfig) -> None:
    """Becomes a file server for the web page of a run.

    Raises:
        UserError: there is no such page, or the port can't be had.
    """
    page = open_run(config.run_dir).export / "web"
    if not (page / "index.html").is_file():
        wanted = command("export", f"--run_dir={config.run_dir}", "--web")
        raise UserError(f"{config.run_dir} has no web page yet: {wanted} makes one.")
    port = free_port(config.port)
    # Below a path: the page's service worker would answer for all of localhost:PORT, TensorBoard of another day included.
    note(f"Web page: http://localhost:{port}/web/ (Ctrl-C ends it)")
    arguments = [str(port), f"--bind={HOST}", f"--directory={page.resolve().parent}"]
    os.execv(sys.executable, [sys.executable, "-m", "http.server", *arguments])


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
