import os
import signal
import socket
import subprocess
import sys

import pytest

from keras_imgcls.core import lock
from keras_imgcls.core import run as run_module
from keras_imgcls.core.errors import UserError

HOLDER = """
import sys, time
from pathlib import Path
from keras_imgcls.core import lock
from keras_imgcls.core import run as run_module
with lock.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "run"`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_by_number_and_machine(tmp_path, holder):
    for attempt in (lambda: lock.hold(tmp_path / "run").__enter__(), lambda: lock.require_free(tmp_path / "run")):
        with pytest.raises(UserError, match=rf"is in use by process {holder.pid} on {socket.gethostname()}, since"):
            attempt()


def test_a_run_is_not_written_over_while_a_fold_of_it_is_in_use(tmp_path, holder):
    (tmp_path / "config.flags").touch()
    for attempt in (run_module.create, run_module.require_free):
        with pytest.raises(UserError, match=rf"run is in use by process {holder.pid} on"):
            attempt(tmp_path, overwrite=True)
    assert (tmp_path / "config.flags").exists()


def test_a_killed_holder_is_no_obstacle(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / lock.NAME).is_file(), "the killed process left its file"
    lock.require_free(tmp_path / "run")
    with lock.hold(tmp_path / "run"):
        assert f"process {os.getpid()} " in (tmp_path / "run" / lock.NAME).read_text()


def test_nothing_is_left_of_a_lock(tmp_path):
    with lock.hold(tmp_path / "runs" / "a"):
        pass
    assert not list(tmp_path.iterdir())
    with lock.hold(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "config.flags").touch()
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["config.flags"]
