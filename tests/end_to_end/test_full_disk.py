"""A disk that is full or may not be written to: one clear line, and what was there before still loads.

RLIMIT_FSIZE stands for the full disk.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import pytest

from keras_imgcls.core import files
from keras_imgcls.core.run import Run
from keras_imgcls.training import checkpoint
from keras_imgcls.tuning.journal import Journal, records
from tests.end_to_end.runs import obey_permissions

ROOT = Path(__file__).parents[2]
SHORT = ["--flagfile=digits.flags", "--epochs=1"]


def start(folder, *arguments, limit=resource.RLIM_INFINITY):
    """A finished command whose files may have `limit` bytes each, and that may write where its user may, root or not."""

    def prepare():
        obey_permissions()
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


@pytest.mark.slow
def test_a_run_in_a_folder_without_permission_is_read_and_not_changed(run):
    before = contents(run.path)
    folders = [run.path, *(path for path in run.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        finished = start(run.path.parent, "evaluate", "--run_dir=run")
        resumed = start(run.path.parent, "train", "--run_dir=run", "--resume", "--epochs=3")
    finally:
        for folder in folders:
            folder.chmod(0o755)
    require_one_line(finished, "Can't write run/evaluation/test/predictions.csv: Permission denied.")
    require_one_line(resumed, "Can't write run/.lock: Permission denied.")
    assert contents(run.path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keras", "run/export: File too large."),
        ("saved_model", "run/export: File too large."),
        ("tflite", f"run/export: on the way there, in {tempfile.gettempdir()}: File too large."),
    ],
)
def test_an_export_without_room_leaves_the_earlier_one(run, name, reason):
    run.export.mkdir()
    (run.export / "model.keras").write_bytes(run.model.read_bytes())
    before = contents(run.path)
    limit = run.model.stat().st_size // 2
    require_one_line(start(run.path.parent, "export", "--run_dir=run", f"--formats={name}", limit=limit), reason)
    assert contents(run.path) == before


@pytest.mark.slow
def test_a_search_without_room_stops_and_loses_no_trial(tmp_path):
    space = ["--search=learning_rate=log(1e-4, 3e-2)", "--tuner=random", "--max_trials=1", "--run_dir=search"]
    tiny = ["--fraction=0.2", "--augment=none", "--model=plain_cnn(width=4)", "--cache=none"]
    assert start(tmp_path, "tune", *SHORT, *tiny, *space).returncode == 0
    best = (tmp_path / "search" / "best").resolve()
    before = contents(best)
    finished = start(tmp_path, "tune", "--run_dir=search", "--resume", "--max_trials=3", limit=20_000)
    require_one_line(finished, "search/trials/0001/")
    assert "tune --run_dir=search --resume" in finished.stdout
    require_whole(Run(best))
    assert contents(best) == before
    found = records([*Journal(tmp_path / "search" / "journal.jsonl").events(), {"event": "session"}])
    assert [(trial.name, trial.status) for trial in found] == [("0000", "ended"), ("0001", "waiting")]
