"""A run that is killed again and again, at random moments, is the run that nobody killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_imgcls.core.run import Run
from tests.end_to_end.runs import history, model_weights

ROOT = Path(__file__).parents[2]
KILLS = 20
# 120 steps, each of them saved.
SMALL = ["--flagfile=digits.flags", "--epochs=12", "--fraction=0.5", "--steps_per_execution=1", "--checkpoint_every=1"]


def newest(run):
    """The name of the newest checkpoint."""
    return max((path.stem for path in run.checkpoints.glob("step-*.json")), default="")


def train(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_IMGCLS_BIN"}
    return subprocess.Popen(
        [sys.executable, "-m", "keras_imgcls", "train", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": f"{ROOT}:{folder}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_twenty_random_kills_change_no_bit(tmp_path):
    """SIGKILL at random moments: in steps, saving, validation and, every fourth time, anywhere from the start on."""
    began = time.monotonic()
    whole = train(tmp_path, *SMALL, "--deterministic", "--run_dir=whole")
    printed, _ = whole.communicate()
    assert whole.returncode == 0, printed
    length = time.monotonic() - began
    draw, kills, run = random.Random(7), 0, Run(tmp_path / "killed")
    while kills < KILLS and not run.finished:
        go_on = ["--resume"] if run.flags.is_file() else [*SMALL, "--deterministic"]
        process, before = train(tmp_path, *go_on, "--run_dir=killed"), newest(run)
        if kills % 4 == 0:
            time.sleep(draw.uniform(0, length))
        else:
            while process.poll() is None and newest(run) == before:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)  # of one that has ended, nothing comes
        printed, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), printed
        kills += process.returncode != 0
    assert kills >= 3, "too few kills fell into the run to show anything"
    resumed = train(tmp_path, "--run_dir=killed", "--resume")
    printed, _ = resumed.communicate()
    assert resumed.returncode == 0, printed
    assert history(run.path) == history(tmp_path / "whole")
    for one, other in zip(model_weights(run.path), model_weights(tmp_path / "whole"), strict=True):
        assert np.array_equal(one, other)
    assert not list(run.path.rglob(".*"))
