"""A run that is killed again and again, at random moments, is the run that nobody killed."""

import json
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


# A head on kept features, the last stages, everything; images grow from 6 to 8 pixels in the second phase.
PHASES = ["--freeze=features|stage1", "--unfreeze_epoch=4|7", "--epochs=10", "--image_size_schedule=6@1|8@6"]
PHASED = ["--flagfile=digits.flags", "--fraction=0.3", "--steps_per_execution=1", "--checkpoint_every=1", *PHASES]


@pytest.mark.slow
def test_a_kill_in_each_phase_changes_no_bit(tmp_path):
    """SIGKILL in the second epoch of each of three phases, after a checkpoint in the midst of it where it has steps."""
    whole = train(tmp_path, *PHASED, "--deterministic", "--run_dir=whole")
    printed, _ = whole.communicate()
    assert whole.returncode == 0, printed
    run = Run(tmp_path / "killed")
    for epoch in (1, 4, 7):
        process = train(tmp_path, *(["--resume"] if epoch > 1 else [*PHASED, "--deterministic"]), "--run_dir=killed")
        while process.poll() is None and reached(run) < epoch:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        printed, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, printed
    resumed = train(tmp_path, "--run_dir=killed", "--resume")
    printed, _ = resumed.communicate()
    assert resumed.returncode == 0, printed
    assert history(run.path) == history(tmp_path / "whole")
    for one, other in zip(model_weights(run.path), model_weights(tmp_path / "whole"), strict=True):
        assert np.array_equal(one, other)


def reached(run):
    """The epoch, from 0, of the newest checkpoint."""
    try:
        return json.loads((run.checkpoints / f"{newest(run)}.json").read_text())["position"]["epoch"]
    except FileNotFoundError:  # there is none, or a newer one took its place
        return -1
