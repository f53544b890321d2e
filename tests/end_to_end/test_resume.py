"""What a resume allows, what it refuses, and how it says so."""

import shutil

import pytest

from keras_imgcls.core.run import Run


@pytest.fixture
def finished(digits_run, tmp_path):
    """A copy of a finished run over digits."""
    path, _ = digits_run
    return Run(shutil.copytree(path, tmp_path / "run"))


def test_more_epochs_go_on_with_a_finished_run(finished, command, tmp_path):
    """Also where the number is the flag's own default."""
    epochs = finished.config.epochs
    assert epochs < 20
    resumed = command("train", "--run_dir=run", "--resume", "--epochs=20", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"Resumed after {epochs} epochs and 0 steps" in resumed.stdout
    assert f"Epochs: 20 instead of {epochs}. The schedule " in resumed.stdout
    assert "the learning rate goes on at" in resumed.stdout
    after = Run(finished.path)
    assert after.config.epochs == 20
    assert [int(row["epoch"]) for row in after.read_history()] == list(range(1, 21))
    assert after.read_metrics()["training"]["epochs"] == 20


def test_other_flags_are_refused_and_can_be_had_anyway(finished, command, tmp_path):
    epochs = finished.config.epochs
    fewer = command("train", "--run_dir=run", "--resume", "--epochs=3", cwd=tmp_path)
    assert fewer.returncode == 1
    assert f"began with other flags: --epochs was {epochs}, is 3." in fewer.stderr
    other = ["--run_dir=run", "--resume", "--label_smoothing=0.2", f"--epochs={epochs + 1}"]
    refused = command("train", *other, cwd=tmp_path)
    assert refused.returncode == 1
    assert "--label_smoothing was 0.0, is 0.2" in refused.stderr and "--epochs was" not in refused.stderr
    anyway = command("train", *other, "--resume_anyway", cwd=tmp_path)
    assert anyway.returncode == 0, anyway.stderr
    assert "began with other flags: --label_smoothing was 0.0, is 0.2." in anyway.stderr
    assert Run(finished.path).config.label_smoothing == 0.2


def test_another_manifest_is_refused_and_can_be_had_anyway(finished, command, tmp_path):
    """As if one image had another label when the run began, and one had not been there."""
    lines = finished.manifest.read_text().splitlines()
    first = lines[1].split(",")
    first[2] = "9" if first[2] != "9" else "8"
    finished.manifest.write_text("\n".join([lines[0], ",".join(first), *lines[2:-1]]) + "\n")
    finished.metrics.unlink()
    refused = command("train", "--run_dir=run", "--resume", cwd=tmp_path)
    assert refused.returncode == 1
    gone, relabelled = lines[-1].split(",")[1], first[1]
    assert f"1 images new ({gone}); 1 images with another label ({relabelled})" in refused.stderr
    anyway = command("train", "--run_dir=run", "--resume", "--resume_anyway", cwd=tmp_path)
    assert anyway.returncode == 0, anyway.stderr
    assert f"1 images with another label ({relabelled})" in anyway.stderr
    assert finished.manifest.read_text().splitlines() == lines
