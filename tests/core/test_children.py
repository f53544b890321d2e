import subprocess
import sys

import pytest

from keras_imgcls.core.children import ending


def end_of(program):
    return subprocess.run([sys.executable, "-c", f"import os, signal, sys\n{program}"], check=False).returncode


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "was killed by the kernel or a user (signal 9), most likely out of memory: take less",
        ),
        ("os.kill(os.getpid(), signal.SIGTERM)", "died of SIGTERM"),
        ("sys.exit(7)", "ended with exit code 7: last words"),
    ],
)
def test_the_end_of_a_real_child_is_told(program, told):
    assert ending(end_of(program), "take less", "last words") == told


def test_a_shell_in_between_says_it_with_a_number():
    code = subprocess.run(
        ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], check=False, stderr=subprocess.DEVNULL
    ).returncode
    assert code == 137
    assert ending(code, "take less").startswith("was killed by the kernel or a user")
