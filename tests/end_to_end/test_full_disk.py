"""A disk that is full: one clear line, and what was there before still loads. RLIMIT_FSIZE stands for the disk."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_imgcls.core import files
from keras_imgcls.core.run import Run
from keras_imgcls.training import checkpoint

ROOT = Path(__file__).parents[2]
SHORT = ["--flagfile=digits.flags", "--epochs=1"]


def start(folder, *arguments, limit=resource.RLIM_INFINITY):
    """A finished command whose files may have `limit` bytes each."""

    def prepare():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {name: value for name, value in os.environ.items() if name != "KERAS_IMGCLS_BIN"}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "keras_imgcls", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, preexec_fn=prepare, capture_output=True, text=True, check=False
    )  # fmt: skip


def require_one_line(finished, path):
    """It failed with one line that names what couldn't be written."""
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert finished.returncode == 1 and len(errors) == 1, finished.stderr
    assert path in errors[0] and "Traceback" not in finished.stderr, finished.stderr


def contents(folder):
    return {
        path.relative_to(folder): files.digest(path)
        for path in folder.rglob("*")
        if path.is_file() and "tensorboard" not in path.parts
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    finished = start(folder, "train", *SHORT, "--run_dir=run")
    assert finished.returncode == 0, finished.stderr
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return Run(tmp_path / "run")


def require_whole(run):
    """The best and the last state load."""
    keras.models.load_model(run.model)
    assert checkpoint.load(run.checkpoints).position["history"]


@pytest.mark.slow
def test_training_goes_on_until_the_disk_is_full(run):
    before = contents(run.path)
    limit = int(run.model.stat().st_size / 2)
    finished = start(run.path.parent, "train", "--run_dir=run", "--resume", "--epochs=3", limit=limit)
    require_one_line(finished, "Can't write run/")
    require_whole(run)
    assert contents(run.path).keys() <= before.keys(), "something half written is left"
    assert files.digest(run.model) == before[Path("model.keras")]
    again = start(run.path.parent, "train", "--run_dir=run", "--resume")
    assert again.returncode == 0, again.stderr


def test_an_evaluation_without_room_leaves_the_earlier_one(run):
    before = contents(run.path)
    finished = start(run.path.parent, "evaluate", "--run_dir=run", limit=200)
    require_one_line(finished, "Can't write run/evaluation/test/")
    assert contents(run.path) == before
