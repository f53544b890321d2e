"""Bad input: one clear line, an exit code that is not 0, and nothing lost."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.runs import obey_permissions


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Good and bad datasets to point at."""
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "one class" / "cat" / "a.png")
    for name in ("cat", "dog"):
        for index in range(6):
            picture(tmp_path / "photos" / name / f"{index}.png", 20 * index)
    (tmp_path / "broken" / "cat").mkdir(parents=True)
    for name in ("cat", "dog"):
        for index in range(4):
            picture(tmp_path / "broken" / name / f"{index}.png", 20 * index)
    (tmp_path / "broken" / "cat" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "no run").mkdir()
    return tmp_path


CASES = {
    "unknown flag": (["train", "--epoch=3"], r"Unknown flag --epoch\. Did you mean 'epochs'"),
    "unknown verb": (["trian"], r"Unknown verb 'trian'\. Did you mean 'train'"),
    "unknown model": (
        ["train", "--dataset=digits", "--model=resnt20"],
        r"Unknown model 'resnt20'\. Did you mean 'resnet20'",
    ),
    "unknown dataset": (["train", "--dataset=cifar"], r"Unknown dataset 'cifar'\. Did you mean 'cifar10'"),
    "unknown augmentation": (
        ["train", "--dataset=digits", "--augment=flp"],
        r"Unknown augmentation 'flp'\. Did you mean 'flip'",
    ),
    "unknown optimizer": (
        ["train", "--dataset=digits", "--optimizer=sgdd"],
        r"Unknown optimizer 'sgdd'\. Did you mean 'sgd'",
    ),
    "unknown recipe": (
        ["train", "--flagfile=digit.flags"],
        r"There is no flagfile 'digit.flags'\. Did you mean 'digits.flags'",
    ),
    "stray argument": (["train", "photos"], r"Unexpected argument 'photos'"),
    "bad value": (["train", "--dataset=digits", "--epochs=0"], r"--epochs is at least 1; received 0"),
    "no place to write": (
        ["train", "--dataset=digits", "--run_dir=/dev/null/run"],
        r"Can't make the run directory /dev/null/run: /dev/null is no folder",
    ),
    "no data": (["train"], r"No data: name a set"),
    "no such folder": (["train", "--data_dir=nowhere"], r"nowhere"),
    "empty folder": (["train", "--data_dir=empty"], r"empty"),
    "one class": (["train", "--data_dir=one class"], r"class"),
    "broken image": (["train", "--data_dir=broken", "--image_size=16"], r"cat/torn\.png"),
    "missing plugin": (
        ["train", "--dataset=digits", "--plugin=no_such_module"],
        r"The plugin 'no_such_module' can't be imported",
    ),
    "evaluate nothing": (["evaluate"], r"Which run\? Give --run_dir"),
    "evaluate no run": (["evaluate", "--run_dir=no run"], r"is no run that can be read"),
    "predict nothing": (["predict", "--run_dir=no run", "--source=photos"], r"is no run that can be read"),
    "export missing": (["export", "--run_dir=missing"], r"There is no run directory missing"),
    "view missing": (["view", "--run_dir=missing"], r"missing"),
    "resume nothing": (["train", "--dataset=digits", "--resume"], r"Which run is to be resumed\? Give --run_dir"),
    "photos as a run": (
        ["train", "--dataset=digits", "--run_dir=photos", "--overwrite"],
        r"photos exists and is no run",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_clear_line(command, folder, case):
    arguments, message = CASES[case]
    before = sorted(path for path in folder.rglob("*"))
    finished = command(*arguments, cwd=folder)
    assert finished.returncode not in (0, None)
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and re.search(message, errors[0]), finished.stderr
    assert "Traceback" not in finished.stderr
    assert sorted(path for path in folder.rglob("*")) == before, "something was written or lost"


def test_an_excluded_image_is_counted_and_named(command, folder):
    finished = command(
        "train", "--data_dir=broken", "--image_size=16", "--model=plain_cnn", "--on_bad_image=exclude", "--epochs=1",
        "--run_dir=run", "--cache=none", "--test_fraction=0.3", cwd=folder,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "torn.png" in (folder / "run" / "excluded.csv").read_text()
    assert "torn.png" not in (folder / "run" / "manifest.csv").read_text()
    assert len((folder / "run" / "manifest.csv").read_text().splitlines()) == 1 + 8


def test_a_run_is_not_written_over(command, folder):
    short = ["train", "--flagfile=digits.flags", "--epochs=1", "--run_dir=run"]
    assert command(*short, cwd=folder).returncode == 0
    model = (folder / "run" / "model.keras").read_bytes()
    again = command(*short, cwd=folder)
    assert again.returncode == 1
    assert "holds a run: continue it with --resume, replace it with --overwrite" in again.stderr
    assert (folder / "run" / "model.keras").read_bytes() == model
    assert command(*short, "--overwrite", cwd=folder).returncode == 0


def test_resuming_with_other_flags_is_refused_with_the_difference(command, folder):
    short = ["train", "--flagfile=digits.flags", "--epochs=1", "--run_dir=run"]
    assert command(*short, cwd=folder).returncode == 0
    (folder / "run" / "metrics.json").unlink()  # as if it had been killed at the end
    changed = command(*short, "--resume", "--learning_rate=0.5", cwd=folder)
    assert changed.returncode == 1
    assert "began with other flags: --learning_rate was 0.003, is 0.5. Resume it with --run_dir alone" in changed.stderr
    assert command(*short, "--resume", cwd=folder).returncode == 0


def test_no_permission_to_write(command, folder):
    (folder / "locked").mkdir(mode=0o500)
    finished = command("train", "--dataset=digits", "--run_dir=locked/run", cwd=folder, preexec_fn=obey_permissions)
    assert finished.returncode == 1 and "no permission to write" in finished.stderr


def test_a_full_disk_is_one_clear_line(command, folder):
    """A quota of 20 kB a file, through `ulimit -f`, stands for a full disk."""
    script = (
        f"ulimit -f 20; exec {sys.executable} -m keras_imgcls train --flagfile=digits.flags --epochs=1 --run_dir=run"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    finished = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
    )
    assert finished.returncode == 1
    assert re.search(r"error: Can't write run/\S+: File too large", finished.stderr), finished.stderr
    assert "Traceback" not in finished.stderr


def test_help_and_flag_errors_import_no_tensorflow(command, tmp_path):
    """Proven, not timed: an import hook makes TensorFlow and Keras fail."""
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tensorflow', 'keras', 'sklearn', 'matplotlib'):\n"
        "            raise ImportError(f'{name} was imported')\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = f"{tmp_path}:{root}"
    for verb in ("train", "evaluate", "predict", "export", "view", "data", "models"):
        finished = command(verb, "--help", cwd=tmp_path, PYTHONPATH=path)
        assert finished.returncode == 0, finished.stderr
        assert "--flagfile" in finished.stdout
    for arguments in (["--epoch=3"], ["--dataset=digits", "--model=resnt20"], ["--dataset=digits", "--augment=flp"]):
        finished = command("train", *arguments, cwd=tmp_path, PYTHONPATH=path)
        assert finished.returncode == 1 and "Did you mean" in finished.stderr
