"""A run repeats itself: from its own flags, in a fresh process, and after a kill."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np

ROOT = Path(__file__).parents[2]
SHORT = ["--flagfile=digits.flags", "--epochs=4", "--deterministic"]
CLOCK = {"seconds", "images_per_second", "data_wait"}


def history(path: Path) -> list[dict[str, str]]:
    with open(path / "history.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]


def weights(path: Path) -> list[np.ndarray]:
    return keras.models.load_model(path / "model.keras").get_weights()


def test_a_run_is_repeated_by_its_own_flags(command, tmp_path):
    """Weights and history of two fresh processes are equal bit for bit under --deterministic."""
    first = command("train", *SHORT, "--run_dir=first", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    second = command("train", "--flagfile=first/config.flags", "--run_dir=second", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert history(tmp_path / "first") == history(tmp_path / "second")
    for one, other in zip(weights(tmp_path / "first"), weights(tmp_path / "second"), strict=True):
        assert np.array_equal(one, other)
    assert (tmp_path / "first" / "config.flags").read_text() == (tmp_path / "second" / "config.flags").read_text()


def test_a_killed_process_resumes_to_the_same_bits(command, tmp_path):
    """SIGKILL once a checkpoint in mid-run is there; `--resume` needs nothing but the run directory."""
    whole = command("train", *SHORT, "--run_dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    arguments = [sys.executable, "-m", "keras_imgcls", "train", *SHORT, "--run_dir=killed", "--checkpoint_every=5"]
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    checkpoints = tmp_path / "killed" / "checkpoints"
    while not list(checkpoints.glob("step-*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "metrics.json").exists(), "the process ended before it was killed"
    resumed = command("train", "--run_dir=killed", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "Resumed after" in resumed.stdout
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    for one, other in zip(weights(tmp_path / "killed"), weights(tmp_path / "whole"), strict=True):
        assert np.array_equal(one, other)


def test_a_run_that_was_killed_before_its_first_step_starts_at_step_0(command, tmp_path):
    """All that was written is `config.flags`."""
    whole = command("train", *SHORT, "--run_dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "config.flags").write_text((tmp_path / "whole" / "config.flags").read_text())
    resumed = command("train", "--run_dir=killed", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "no checkpoint yet: training starts at step 0" in resumed.stdout
    assert history(tmp_path / "killed") == history(tmp_path / "whole")


def test_a_dry_run_writes_nothing(command, tmp_path):
    finished = command("train", "--flagfile=digits.flags", "--dry_run", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    for word in ("parameters", "memory, estimated", "training time, estimated"):
        assert word in finished.stdout
    assert not list(tmp_path.iterdir())
