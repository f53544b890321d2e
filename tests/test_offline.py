"""The suite has no network: this is what holds the other tests to it."""

import contextlib
import os
import socket
import subprocess
import sys
import urllib.request

import pytest

REACH = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=1)"  # an address for documentation


@pytest.fixture
def refused(refused_hosts):
    """What was refused in this test, which then is no failure."""
    if not refused_hosts:
        pytest.skip("--online")
    yield lambda: refused_hosts.read_text().split()
    refused_hosts.write_text("")


@pytest.mark.parametrize("host", ["192.0.2.1", "example.invalid", "2001:db8::1"])
def test_addresses_and_names_are_refused(refused, host):
    with pytest.raises(OSError, match=f"reached out to {host}"):
        socket.create_connection((host, 80), timeout=1)
    assert refused() == [host]


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_plain_sockets_are_refused_too(refused, method):
    with socket.socket() as plain, pytest.raises(OSError, match="the suite has no network"):
        getattr(plain, method)(("192.0.2.1", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(OSError, match="the suite has no network"):
        datagrams.sendto(b"x", ("192.0.2.1", 53))
    assert refused() == ["192.0.2.1"] * 2


@pytest.mark.parametrize("environment", [None, {"PATH": os.environ["PATH"]}, {"PYTHONPATH": "/nowhere"}])
def test_processes_are_held_to_it_and_their_children(refused, environment):
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {REACH!r}])"
    finished = subprocess.run([sys.executable, "-c", child], env=environment, capture_output=True, text=True)
    assert "A test reached out to 192.0.2.1" in finished.stderr
    assert refused() == ["192.0.2.1"]


def test_what_is_shrugged_off_is_noted(refused):
    with contextlib.suppress(OSError):
        urllib.request.urlopen("http://192.0.2.1/", timeout=1)
    assert refused() == ["192.0.2.1"]


def test_this_machine_answers(refused):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
