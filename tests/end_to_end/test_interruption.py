"""SIGTERM, Ctrl-C, SIGKILL and a second process, on the real command line."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.runs import history, model_weights

ROOT = Path(__file__).parents[2]
SHORT = ["--flagfile=digits.flags", "--epochs=3", "--deterministic"]


def start(folder, *arguments):
    """A `train` of its own, and a function that waits until its run holds a file of a name."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_IMGCLS_BIN"}
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_imgcls", "train", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def wait_for(pattern):
        while not list(folder.glob(pattern)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)

    return process, wait_for


def half_written(folder):
    return [*(path for path in folder.rglob(".*") if path.name != ".lock"), *(folder / "temporary").iterdir()]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """A run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    finished = command("train", *SHORT, "--run_dir=run", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_run_and_says_how_it_goes_on(command, whole, tmp_path, number, code):
    """What is resumed ends with the same bits as a run that nobody stopped."""
    process, wait_for = start(tmp_path, *SHORT, "--run_dir=stopped", "--checkpoint_every=2", "--steps_per_execution=1")
    wait_for("stopped/checkpoints/step-*.json")
    process.send_signal(number)
    printed, errors = process.communicate()
    assert process.returncode == code, errors
    assert "the step in hand is finished and the run saved" in errors
    stopped_at = re.search(r"Stopped and saved in epoch (\d), after step (\d+) of 20", printed)
    assert stopped_at, printed
    assert "Resume: python -m keras_imgcls train --run_dir=stopped --resume" in printed
    assert not half_written(tmp_path) and not (tmp_path / "stopped" / ".lock").exists()
    resumed = command("train", "--run_dir=stopped", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"Resumed after {int(stopped_at[1]) - 1} epochs and {stopped_at[2]} steps" in resumed.stdout
    assert history(tmp_path / "stopped") == history(whole)
    for one, other in zip(model_weights(tmp_path / "stopped"), model_weights(whole), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("delay", [0.2, 1.0, 3.0])
def test_before_the_first_step_there_is_nothing_to_save(tmp_path, delay):
    """While Python starts, TensorFlow is imported, data is read or the step is traced."""
    process, _ = start(tmp_path, *SHORT, "--run_dir=run")
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    # Before Python has come to our handler, the signal itself ends the process.
    assert process.returncode in (143, -signal.SIGTERM), errors
    assert "Traceback" not in errors
    assert not half_written(tmp_path) and not (tmp_path / "run" / ".lock").exists()


def test_killed_in_the_midst_of_training_it_leaves_no_temporary_file(tmp_path):
    process, wait_for = start(tmp_path, *SHORT, "--run_dir=run", "--epochs=1000")
    wait_for("run/checkpoints/step-*.json")
    process.kill()
    process.wait()
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.slow
def test_a_second_process_is_refused(command, tmp_path):
    process, wait_for = start(tmp_path, *SHORT, "--run_dir=run", "--epochs=1000")
    wait_for("run/.lock")
    for arguments in (SHORT, ["--resume"], [*SHORT, "--overwrite"]):
        if arguments == ["--resume"]:
            wait_for("run/manifest.csv")
        second = command("train", *arguments, "--run_dir=run", cwd=tmp_path)
        assert second.returncode == 1
        assert f"run is in use by process {process.pid} on " in second.stderr
    process.kill()
    process.wait()
    assert (tmp_path / "run" / ".lock").exists()
    third = command("train", *SHORT, "--run_dir=run", "--overwrite", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.slow
def test_folds_are_locked_as_a_whole_and_one_by_one(command, tmp_path):
    process, wait_for = start(tmp_path, *SHORT, "--folds=2", "--run_dir=run", "--epochs=1000")
    wait_for("run/fold_1/manifest.csv")
    for arguments in (["--folds=2", "--overwrite"], ["--resume"]):
        second = command(
            "train", *(SHORT if "--overwrite" in arguments else []), *arguments, "--run_dir=run", cwd=tmp_path
        )
        assert second.returncode == 1
        assert f"run is in use by process {process.pid} on " in second.stderr
    second = command("train", "--run_dir=run/fold_1", "--resume", cwd=tmp_path)
    assert second.returncode == 1
    assert f"fold_1 is in use by process {process.pid} on " in second.stderr
    process.kill()
    process.wait()
