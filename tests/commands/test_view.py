import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from keras_imgcls.commands import view
from keras_imgcls.core.config import ViewConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run

ROOT = Path(__file__).parents[2]


def test_where_it_looks(tmp_path):
    run = Run(tmp_path / "runs" / "a")
    run.tensorboard.mkdir(parents=True)
    assert view.log_folder(run.path) == run.tensorboard
    assert view.log_folder(tmp_path / "runs") == tmp_path / "runs"
    with pytest.raises(UserError, match=r"There is no folder '.*/none': give --run_dir=RUN"):
        view.log_folder(tmp_path / "none")


def test_a_taken_port_is_said_and_0_is_a_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"Port {port} can't be had \(Address already in use\): give another --port"
        ):
            view.free_port(port)
        assert view.free_port(0) not in (0, port)
    assert view.free_port(port) == port


def test_it_becomes_tensorboard_on_this_machine_alone(tmp_path, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append([program, *arguments]))
    view.run(ViewConfig(run_dir=str(tmp_path), port=0))
    (command,) = started
    port = next(part for part in command if part.startswith("--port=")).removeprefix("--port=")
    assert command[0] == sys.executable and "startup.tensorboard()" in command[3] and "--host=127.0.0.1" in command
    assert f"--logdir={tmp_path.resolve()}" in command
    captured = capsys.readouterr()
    assert f"http://127.0.0.1:{port}/" in captured.out
    assert "there is nothing to show" in captured.err


@pytest.mark.slow
def test_it_serves_and_ends_quietly(tmp_path):
    """The real thing: it answers on localhost, and Ctrl-C ends it without a traceback."""
    arguments = [sys.executable, "-m", "keras_imgcls", "view", f"--run_dir={tmp_path}", "--port=0"]
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = process.stdout.readline().split()[1]
    while process.poll() is None:
        try:
            page = urllib.request.urlopen(address).read()
            break
        except urllib.error.URLError:
            time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert b"TensorBoard" in page
    assert "Traceback" not in errors


def test_the_web_page_is_served_on_this_machine_alone(tmp_path, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments) or sys.exit(0))
    (tmp_path / "config.flags").write_text("--dataset=digits\n")
    with pytest.raises(UserError, match=r"has no web page yet: .*export --run_dir=.* --web makes one\.$"):
        view.run(ViewConfig(run_dir=str(tmp_path), web=True, port=0))
    page = tmp_path / "export" / "web"
    page.mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>")
    with pytest.raises(SystemExit):
        view.run(ViewConfig(run_dir=str(tmp_path), web=True, port=0))
    (arguments,) = started
    assert arguments[1:3] == ["-m", "http.server"]
    assert f"--directory={page.resolve().parent}" in arguments and "--bind=127.0.0.1" in arguments
    assert f"http://localhost:{arguments[3]}/web/" in capsys.readouterr().out
