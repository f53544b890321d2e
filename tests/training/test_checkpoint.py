import keras
import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.training import checkpoint


def state(value):
    return [keras.Variable(np.full((2, 3), value, np.float32)), keras.Variable(int(value), dtype="int64")]


def test_round_trip_keeps_two(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, state(step), {"epoch": step})
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
    checkpoint.save(tmp_path, 1, state(1), {"epoch": 1})
    checkpoint.save(tmp_path, 2, state(2), {"epoch": 2})
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
    checkpoint.save(tmp_path, 1, state(1), {})
    with pytest.raises(UserError, match="not finite"):
        checkpoint.save(tmp_path, 2, [keras.Variable([np.nan])], {})
    assert checkpoint.load(tmp_path) is not None


def test_another_model_is_refused(tmp_path):
    checkpoint.save(tmp_path, 1, state(1), {})
    with pytest.raises(UserError, match="another model"):
        checkpoint.load(tmp_path).restore([keras.Variable([1.0])])


def test_nothing_there_is_no_error(tmp_path):
    assert checkpoint.load(tmp_path) is None
