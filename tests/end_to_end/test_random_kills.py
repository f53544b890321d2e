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


def killed_again_and_again(run, length, kills, *first):
    """Trains `run` with the flags `first`, and kills it by SIGKILL at random moments until it is finished or `kills` are done.

    In steps, saving, validation and, every fourth time, anywhere from the start on, which takes `length` seconds.
    """
    draw, done = random.Random(7), 0
    while done < kills and not run.finished:
        go_on = ["--resume"] if run.flags.is_file() else first
        process, before = train(run.path.parent, *go_on, f"--run_dir={run.path.name}"), newest(run)
        if done % 4 == 0:
            time.sleep(draw.uniform(0, length))
        else:
            while process.poll() is None and newest(run) == before:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)  # of one that has ended, nothing comes
        printed, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), printed
        done += process.returncode != 0
    assert done >= 3, "too few kills fell into the run to show anything"
    resumed = train(run.path.parent, f"--run_dir={run.path.name}", "--resume")
    printed, _ = resumed.communicate()
    assert resumed.returncode == 0, printed


@pytest.mark.slow
def test_twenty_random_kills_change_no_bit(tmp_path):
    began = time.monotonic()
    whole = train(tmp_path, *SMALL, "--deterministic", "--run_dir=whole")
    printed, _ = whole.communicate()
    assert whole.returncode == 0, printed
    run = Run(tmp_path / "killed")
    killed_again_and_again(run, time.monotonic() - began, KILLS, *SMALL, "--deterministic")
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


WITNESS = """
import json, os
import tensorflow as tf
from keras_imgcls.training.learner import Learner

step = Learner.train_step

def witnessed(self, data):
    (_, _, ids), _ = data
    def write(number, ids):
        with open("seen.jsonl", "a") as file:
            file.write(json.dumps([os.getpid(), int(number), ids.tolist()]) + "\\n")
        return number
    step_number = tf.cast(self.optimizer.iterations.value, tf.int64)
    with tf.control_dependencies([tf.numpy_function(write, [step_number, ids], tf.int64)]):
        return step(self, data)

Learner.train_step = witnessed
"""


@pytest.mark.slow
def test_without_determinism_no_sample_is_replayed_or_skipped(tmp_path):
    """What the steps were given, by the optimizer's count; a step that is done again after a kill has the same samples."""
    (tmp_path / "witness.py").write_text(WITNESS)
    run = Run(tmp_path / "killed")
    killed_again_and_again(run, 10.0, 6, *SMALL, "--plugin=witness")
    lines = [line for line in (tmp_path / "seen.jsonl").read_text().split("\n") if line.endswith("]]")]
    counted: dict[int, list[int]] = {}
    before: dict[int, int] = {}
    for process, number, ids in map(json.loads, lines):
        assert number == before.get(process, number - 1) + 1 <= len(counted), "a step was skipped"
        before[process] = number
        assert counted.setdefault(number, ids) == ids, "a step that is done again has the same samples"
    assert sorted(counted) == list(range(120))
    training = sorted(int(row["id"]) for row in run.read_manifest() if row["split"] == "train")
    for epoch in range(12):
        seen = [sample for step in range(10 * epoch, 10 * epoch + 10) for sample in counted[step]]
        assert len(seen) == len(set(seen)), "a sample was replayed"
        assert set(seen) <= set(training) and len(training) - len(seen) < len(counted[0])
