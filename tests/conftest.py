"""Fixtures that every test may use."""

import importlib.util
import os
from pathlib import Path

import pytest

RECORD = "KERAS_IMGCLS_TESTS_REFUSED"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    """`bin/test --offline`."""
    parser.addoption("--offline", action="store_true", help="Fail each test that reaches out to another machine.")


@pytest.fixture(scope="session")
def offline(tmp_path_factory):
    """Python's sockets are held to this machine, see `tests/offline/sitecustomize.py`; the file that notes what was refused."""
    module = ROOT / "tests" / "offline" / "sitecustomize.py"
    spec = importlib.util.spec_from_file_location("offline", module)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return tmp_path_factory.mktemp("offline") / "refused"


@pytest.fixture(autouse=True)
def _no_network(request, monkeypatch):
    """With `--offline`, fails a test whose code, or a process of it, reached out; the mark `network` lets one do so."""
    if not request.config.getoption("--offline") or request.node.get_closest_marker("network"):
        yield
        return
    refused = request.getfixturevalue("offline")
    refused.write_text("")
    monkeypatch.setenv(RECORD, str(refused))
    yield
    hosts = refused.read_text().split()
    if hosts:
        pytest.fail(f"It reached out to {', '.join(sorted(set(hosts)))}: mark it `network` if that is what it is for.")


@pytest.fixture(scope="session")
def shared_data():
    """`shared_data("flowers")`: a folder of real images beside the repository; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"real images are absent: {path}")
        return path

    return find
