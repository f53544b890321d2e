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


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "a\0", "\x1b[2Jcat", "\x9b2J", "a\u2028b", "\udcff"])
def test_a_class_is_not_called_what_is_no_line(tmp_path, name):
    made = make_run(tmp_path / "a")
    with pytest.raises(UserError, match="A class can't be called '.*': a name is one line of text"):
        made.write_class_names(["cat", name])
    assert not made.labels.exists()


def test_run_names_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run.name_run("tfds:mnist", "resnet20(width=32)")
    first.mkdir(parents=True)
    assert run.name_run("tfds:mnist", "resnet20(width=32)") != first
    assert first.parent.name == "runs"
    assert "/" not in first.name and "(" not in first.name


@pytest.mark.parametrize("dataset", ["../../escaped", "..", "/etc", "a\nb\x1b[2J", "猫" * 200])
def test_run_names_stay_in_their_folder_and_can_be_made(tmp_path, monkeypatch, dataset):
    monkeypatch.chdir(tmp_path)
    path = run.name_run(dataset, "resnet20")
    path.mkdir(parents=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs"]
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == [path.name] and path.name.isprintable()
