"""Sockets of Python reach this machine alone, in the tests and in the processes that they start.

A process finds this file through its PYTHONPATH, which `subprocess.Popen` is given here; the tests import it. What was
refused is noted in a file too, so that a test fails whose code shrugs an unreachable network off. Libraries that open
sockets outside of Python (TensorFlow's, a browser's) are not seen.
"""

import os
import socket
import subprocess
from pathlib import Path

RECORD = "KERAS_IMGCLS_TESTS_REFUSED"  # names the file; without it everything is allowed
HERE = str(Path(__file__).parent)

_connect, _connect_ex, _sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
_getaddrinfo, _popen = socket.getaddrinfo, subprocess.Popen.__init__


def is_local(host: object) -> bool:
    """Whether `host` is this machine by a name or number that leads nowhere else."""
    host = host.decode() if isinstance(host, bytes) else host
    return host in (None, "", "localhost", "::1", "0.0.0.0", "::") or str(host).startswith("127.")


def _require_local(host: object) -> None:
    record = os.environ.get(RECORD)
    if record and not is_local(host):
        with open(record, "a", encoding="utf-8") as file:
            file.write(f"{host}\n")
        raise OSError(f"A test reached out to {host}: the suite has no network.")


def _guarded(method):
    def call(self, *arguments):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _require_local(arguments[-1][0])
        return method(self, *arguments)

    return call


def _lookup(host, *arguments, **options):
    _require_local(host)
    return _getaddrinfo(host, *arguments, **options)


def _start(self, *arguments, env=None, **options):
    env = dict(os.environ if env is None else env)
    if os.environ.get(RECORD):
        env.setdefault(RECORD, os.environ[RECORD])
        paths = env.get("PYTHONPATH", "").split(os.pathsep)
        if HERE not in paths:  # last: a test may have a sitecustomize of its own
            env["PYTHONPATH"] = os.pathsep.join([*filter(None, paths), HERE])
    _popen(self, *arguments, env=env, **options)


socket.socket.connect, socket.socket.connect_ex = _guarded(_connect), _guarded(_connect_ex)
socket.socket.sendto, socket.getaddrinfo = _guarded(_sendto), _lookup
subprocess.Popen.__init__ = _start
