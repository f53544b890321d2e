import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from keras_imgcls.core import signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_first_signal_is_noted_within_the_block_and_forgotten_behind_it(number, code):
    before = signal.getsignal(number)
    with signals.orderly():
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert signals.requested() == number
        with pytest.raises(signals.Interrupted) as raised:
            signals.check()
    assert raised.value.code == code
    assert signals.requested() is None
    assert not any(
        timer.is_alive() and not timer.finished.is_set()
        for timer in threading.enumerate()
        if isinstance(timer, threading.Timer)
    )
    assert signal.getsignal(number) is before


SECOND = """
import os, signal, sys, time
from keras_imgcls.core import signals
{prepare}
signals.obey()
try:
    with signals.orderly():
        print("ready", flush=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(0.01)
finally:
    print("cleaned up", flush=True)
"""


def start(prepare=""):
    program = SECOND.format(prepare=prepare)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_second_signal_ends_the_process_at_once():
    process = start()
    process.send_signal(signal.SIGTERM)
    assert "SIGTERM: the step in hand is finished" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.stdout.read() == ""


def test_the_grace_is_a_bound():
    process = start("signals.GRACE = 0.2")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert process.stdout.read() == ""


def test_a_signal_that_is_ignored_stays_ignored():
    """As `nohup` and a shell's `&` leave it."""
    process = start("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert process.poll() is None
    process.kill()
