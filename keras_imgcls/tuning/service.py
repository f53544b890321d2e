"""Workers on other machines: keras-tuner's own chief, which has the oracle, and its clients. For trusted networks only.

keras-tuner's gRPC service neither encrypts nor asks who is there, so it listens on localhost unless a host is given. The search's
folder is on a disk that all machines share: runs and reasons of failures go there, numbers go over the wire.
"""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from keras_imgcls.core import lock
from keras_imgcls.core.config import TuneConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning import plan, search
from keras_imgcls.tuning.board import Board
from keras_imgcls.tuning.executor import Executor
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.trials import Trials

LOCALHOST = "127.0.0.1"
POLL_SECONDS = 0.2


def address(text: str) -> tuple[str, int]:
    """Host and port of `PORT` or `HOST:PORT`.

    Raises:
        UserError: there is no port in it.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"Expected PORT or HOST:PORT, such as 8900 or 10.0.0.5:8900; received '{text}'.")
    return host or LOCALHOST, int(port)


def server(text: str) -> Callable[[Any, Any], None]:
    """`(oracle, stop) -> None`: serves the oracle at an address until the search is over and every worker has been told so."""
    host, port = address(text)

    def serve(oracle: Any, stop: Any) -> None:
        import grpc
        from keras_tuner.src import protos
        from keras_tuner.src.distribute.oracle_chief import OracleServicer

        listening = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        servicer = OracleServicer(oracle)
        protos.get_service_grpc().add_OracleServicer_to_server(servicer, listening)
        try:
            listening.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise UserError(f"Can't listen on {host}:{port}: give another --chief.") from error
        listening.start()
        note(f"Chief at {host}:{port}: workers join with --join={host}:{port} --run_dir=RUN.")
        try:
            while not stop.is_set() and not (servicer.stop_triggered and _all_gone(oracle)):
                time.sleep(POLL_SECONDS)
        finally:
            listening.stop(grace=1).wait()

    return serve


def _all_gone(oracle: Any) -> bool:
    return not oracle.ongoing_trials and not oracle.tuner_ids


def join(config: TuneConfig, folder: Folder, executors: Sequence[Executor]) -> None:
    """Works for the chief at `--join` until it has no more trials. A worker that is started again gets its trial back.

    Raises:
        UserError: nobody answers there, or the chief has not settled its search yet.
    """
    import grpc
    from keras_tuner.src.distribute.oracle_client import OracleClient

    host, port = address(config.join)
    _require_chief(host, port)
    ready = plan.make(config)
    if not folder.settled.is_file():
        raise UserError(f"{folder.settled} is not there: --run_dir is the chief's, on a disk that both machines share.")
    ready, classes = search.settle(ready, folder, executors[0])
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(_name(folder))
        board = Board(ready.objective, 0, config.workers)
        stack.callback(board.close)
        trials = Trials(ready, classes, folder, board, search.deadline(config))
        oracle, workers = search.oracle_of(ready, folder), []
        for index, executor in enumerate(executors):
            stack.callback(executor.close)
            own = f"{name}-{index}"
            os.environ |= {
                "KERASTUNER_ORACLE_IP": host,
                "KERASTUNER_ORACLE_PORT": str(port),
                "KERASTUNER_TUNER_ID": own,
            }
            workers.append((own, OracleClient(oracle), executor))
        try:
            search.work(trials, workers)
        except grpc.RpcError as error:
            raise UserError(
                f"The chief at {host}:{port} does not answer any more. Unless it has ended, start it with --resume, then this."
            ) from error


@contextlib.contextmanager
def _name(folder: Folder) -> Iterator[str]:
    """What the chief knows this process by: the first free name of this machine.

    So the process that is started after another one was killed has its name, and gets its trials.
    """
    for number in itertools.count():
        name = f"{socket.gethostname()}-{number}"
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock.hold(folder.path, f".{name}.lock"))
            except UserError:
                continue
            yield name
            return


def _require_chief(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        raise UserError(f"No chief answers at {host}:{port} ({error.strerror or error}).") from error
