import pytest

from keras_imgcls.core import options, run
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError


def make_run(path):
    made = run.create(path)
    made.flags.write_text(options.write_flagfile(TrainConfig(dataset="digits", epochs=3)))
    return made


def test_a_run_is_not_written_over(tmp_path):
    make_run(tmp_path / "a")
    with pytest.raises(UserError, match="holds a run: continue it with --resume, replace it with --overwrite"):
        run.create(tmp_path / "a")
    assert not run.create(tmp_path / "a", overwrite=True).flags.exists()


def test_a_folder_that_is_no_run_is_never_deleted(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="exists and is no run"):
        run.create(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_opening(tmp_path):
    make_run(tmp_path / "a")
    assert run.open_run(tmp_path / "a").config == TrainConfig(dataset="digits", epochs=3)
    with pytest.raises(UserError, match="There is no run directory .*b. Runs there: a."):
        run.open_run(tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match="is no run that can be read"):
        run.open_run(tmp_path / "c")


def test_names_of_classes_are_lines(tmp_path):
    made = make_run(tmp_path / "a")
    names = ["chat, noir", "<b>", "été "]
    made.write_class_names(names)
    assert made.class_names == names
    with pytest.raises(UserError, match="a name is one line of text"):
        made.write_class_names(["a\nb"])


def test_run_names_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run.name_run("tfds:mnist", "resnet20(width=32)")
    first.mkdir(parents=True)
    assert run.name_run("tfds:mnist", "resnet20(width=32)") != first
    assert first.parent.name == "runs"
    assert "/" not in first.name and "(" not in first.name
