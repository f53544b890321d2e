import threading
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_imgcls.core import run as run_module
from keras_imgcls.core.errors import UserError
from keras_imgcls.training import checkpoint
from keras_imgcls.training.keeper import Keeper
from keras_imgcls.training.loop import Position


def state(value):
    return [keras.Variable(np.full((2, 3), value, np.float32)), keras.Variable(int(value), dtype="int64")]


def save(folder, step, variables, position):
    checkpoint.write(folder, step, checkpoint.snapshot(step, variables), position)


def test_round_trip_keeps_two(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step, state(step), {"epoch": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step-{step:09}{suffix}" for step in (2, 3) for suffix in (".json", ".npz")
    ]
    fresh = state(0)
    loaded = checkpoint.load(tmp_path)
    loaded.restore(fresh)
    assert loaded.position == {"epoch": 3}
    assert np.array_equal(fresh[0].numpy(), np.full((2, 3), 3.0)) and int(fresh[1].numpy()) == 3


@pytest.mark.parametrize("harm", ["truncate", "flip", "garble json", "no archive"])
def test_a_damaged_one_is_left_out_with_a_warning(tmp_path, capsys, harm):
    save(tmp_path, 1, state(1), {"epoch": 1})
    save(tmp_path, 2, state(2), {"epoch": 2})
    archive, description = tmp_path / "step-000000002.npz", tmp_path / "step-000000002.json"
    content = bytearray(archive.read_bytes())
    if harm == "truncate":
        archive.write_bytes(content[:-10])
    elif harm == "flip":
        content[len(content) // 2] ^= 1
        archive.write_bytes(content)
    elif harm == "garble json":
        description.write_text('{"sha256": ')
    else:
        archive.unlink()
    assert checkpoint.load(tmp_path).position == {"epoch": 1}
    assert "step-000000002 is damaged" in capsys.readouterr().err


def test_values_that_are_not_finite_never_replace_finite_ones(tmp_path):
    save(tmp_path, 1, state(1), {})
    with pytest.raises(UserError, match="not finite"):
        save(tmp_path, 2, [keras.Variable([np.nan])], {})
    assert checkpoint.load(tmp_path) is not None


def test_another_model_is_refused(tmp_path):
    save(tmp_path, 1, state(1), {})
    with pytest.raises(UserError, match="another model"):
        checkpoint.load(tmp_path).restore([keras.Variable([1.0])])


def test_where_all_are_damaged_nothing_begins_anew(tmp_path, capsys):
    for step in (1, 2):
        save(tmp_path, step, state(step), {})
        (tmp_path / f"step-00000000{step}.npz").write_bytes(b"")
    with pytest.raises(UserError, match="All checkpoints in .* are damaged, so that the run can't go on"):
        checkpoint.load(tmp_path)
    assert capsys.readouterr().err.count("is damaged and left out") == 2


def test_nothing_there_is_no_error(tmp_path):
    assert checkpoint.load(tmp_path) is None


@pytest.mark.parametrize("harm", ["flip", "truncate"])
def test_the_last_good_one_stays_where_the_disk_gives_back_something_else(tmp_path, monkeypatch, harm):
    for step in (1, 2):
        save(tmp_path, step, state(step), {"epoch": step})
    write = np.savez

    def harmful(path, **arrays):
        write(path, **arrays)
        content = bytearray(Path(path).read_bytes())
        content[content.index(np.full((2, 3), 3, np.float32).tobytes())] ^= 1
        Path(path).write_bytes(content if harm == "flip" else content[:-30])

    monkeypatch.setattr(np, "savez", harmful)
    with pytest.raises(UserError, match=r"^Can't write .*step-000000003\.npz: it does not read back as it was written"):
        save(tmp_path, 3, state(3), {"epoch": 3})
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["step-000000001"] * 2 + ["step-000000002"] * 2


class TestKeeper:
    """A thread writes; what went wrong there comes up here."""

    @pytest.fixture
    def keeper(self, tmp_path):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        made = Keeper(model, run_module.create(tmp_path / "run"))
        made.learner = SimpleNamespace(state=model.weights)
        return made

    def test_it_writes_what_was_there_and_training_does_not_wait(self, keeper, monkeypatch):
        goes_on, write = threading.Event(), checkpoint.write

        def wait_and_write(*arguments):
            goes_on.wait()
            write(*arguments)

        monkeypatch.setattr(checkpoint, "write", wait_and_write)
        before, position = keeper.model.get_weights(), Position(history=[{"epoch": 1}])
        keeper.checkpoint(5, position)
        keeper.model.weights[0].assign(keeper.model.weights[0] + 1)
        position.history.append({"epoch": 2})
        goes_on.set()
        stored = keeper.newest()
        assert stored.position["history"] == [{"epoch": 1}]
        assert all(np.array_equal(one, other) for one, other in zip(stored.arrays, before, strict=True))

    def test_its_errors_are_raised_in_the_main_thread_once(self, keeper):
        keeper.run.checkpoints.touch()  # a file where the folder should be
        keeper.checkpoint(1, Position())
        with pytest.raises(UserError, match="Can't write .*step-000000001.npz"):
            keeper.settle()
        keeper.settle()
