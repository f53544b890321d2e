"""The real command line, in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def command():
    """`command("train", "--epochs=3", cwd=folder)`: runs a verb and returns the finished process."""

    # Set by the launcher that runs the tests, it would be repeated in the commands that are printed.
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_IMGCLS_BIN"}

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "keras_imgcls", *arguments],
            cwd=cwd,
            env={**inherited, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def digits_run(command, tmp_path_factory):
    """A finished run over digits, made by the packaged recipe, and what `train` printed."""
    folder = tmp_path_factory.mktemp("digits run")
    finished = command("train", "--flagfile=digits.flags", "--run_dir=my run", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "my run", finished.stdout
