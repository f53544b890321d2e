"""Fixtures that every test may use."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest

import keras_imgcls  # noqa: F401 - before any test loads TensorFlow, of which it asks for oneDNN

RECORD = "KERAS_IMGCLS_TESTS_REFUSED"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # so begin what a shell runs in the background, and their children
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    """`bin/test --online`."""
    parser.addoption("--online", action="store_true", help="Let tests reach other machines.")


@pytest.fixture(scope="session", autouse=True)
def refused_hosts(request, tmp_path_factory):
    """Sockets are held to this machine, see `tests/offline/sitecustomize.py`: the file with what was refused; or None."""
    if request.config.getoption("--online"):
        yield None
        return
    module = ROOT / "tests" / "offline" / "sitecustomize.py"
    spec = importlib.util.spec_from_file_location("held_to_this_machine", module)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    record = tmp_path_factory.mktemp("offline") / "refused"
    record.touch()
    os.environ[RECORD] = str(record)
    yield record
    del os.environ[RECORD]


@pytest.fixture(autouse=True)
def _no_network(request, monkeypatch, refused_hosts):
    """Fails a test that reached out, itself or by a process of its own; the mark `network` lets one do so."""
    if refused_hosts and request.node.get_closest_marker("network"):
        monkeypatch.delenv(RECORD)
    yield
    hosts = refused_hosts.read_text().split() if refused_hosts else []
    if hosts:
        refused_hosts.write_text("")
        pytest.fail(f"It reached out to {', '.join(sorted(set(hosts)))}: mark it `network` if that is what it is for.")


@pytest.fixture(autouse=True)
def _seeded():
    """First weights and dropout are the same in every run of the tests: what fails once fails again."""
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared_data():
    """`shared_data("flowers")`: a folder of real images beside the repository; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"real images are absent: {path}")
        return path

    return find
