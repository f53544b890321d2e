"""The entry point: verbs, actions, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from keras_imgcls.__main__ import main

ROOT = Path(__file__).parents[1]


def test_the_overview_names_every_verb(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    for path in (ROOT / "keras_imgcls" / "commands").glob("*.py"):
        assert path.stem == "__init__" or f"  {path.stem} " in printed


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "export", "view", "data", "models"])
def test_help_of_each_verb(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert "--flagfile" in capsys.readouterr().out


def test_verbs_with_actions_say_which(capsys):
    assert main(["models", "lst"]) == 1
    assert (
        "bin/models is followed by list or info or benchmark; received 'lst'. Did you mean 'list'?"
        in capsys.readouterr().err
    )
    assert main(["data"]) == 1
    assert "bin/data is followed by preview; received nothing." in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    script = f"set -o pipefail; {sys.executable} -m keras_imgcls train --help | head -1"
    finished = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert finished.stdout == "Train a classifier.\n"
    assert finished.stderr == ""


def test_output_on_a_full_disk_is_one_clear_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "keras_imgcls", "train", "--help"]
        finished = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 1
    assert finished.stderr == "error: Can't write the output: No space left on device.\n"


def test_an_import_that_a_signal_broke_is_an_interruption(monkeypatch, capsys):
    def broken(_):
        raise ImportError("generic_type: type is already registered!")

    monkeypatch.setattr("keras_imgcls.__main__._run", broken)
    with pytest.raises(ImportError):
        main(["models", "list"])
    monkeypatch.setattr("keras_imgcls.core.signals.requested", lambda: 15)
    assert main(["models", "list"]) == 143
    assert capsys.readouterr().err == "interrupted\n"
