"""State dictionaries in PyTorch's old file format (a few pickles, then the raw numbers), read without PyTorch.

The pickles go through an unpickler that knows the opcodes that such a file needs and four names, and runs nothing else.
The format is that of `torch.save` before 1.6: https://github.com/pytorch/pytorch/blob/v2.0.0/torch/serialization.py.
"""

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_imgcls.core.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
MOST_DIMENSIONS = 8
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
OPCODES = """
    PROTO STOP GLOBAL REDUCE BUILD BINPERSID MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
    BINPUT LONG_BINPUT BINGET LONG_BINGET
""".split()  # noqa: SIM905


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, in its order: float32 and int64 arrays.

    Raises:
        UserError: the file can't be read, is of another format, cut off, or asks for anything but tensors.
    """
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"Can't read {path}: {error.strerror}.") from error
    try:
        return _state_dict(io.BytesIO(contents), len(contents))
    except UserError as error:
        raise UserError(f"{path} is no file of weights that can be read: {error}") from error
    except Exception as error:  # pickles that are broken raise anything: EOFError, KeyError, IndexError, TypeError …
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"{path} is no file of weights in PyTorch's old format, or is cut off ({reason}).") from error


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor in the numbers of its storage, within which `_tensor` has found it to lie."""
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False)


def _state_dict(file: io.BytesIO, size: int) -> dict[str, np.ndarray]:
    magic, version, system = (_Unpickler(file).load() for _ in range(3))
    if magic != MAGIC or version != VERSION or system.get("little_endian") is not True:
        raise UserError("it doesn't begin as PyTorch's old format does.")
    unpickler = _Unpickler(file)
    tensors, keys = unpickler.load(), _Unpickler(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise UserError("it holds something else than tensors by name.")
    if sorted(keys) != sorted(unpickler.storages):
        raise UserError("its tensors and its storages don't belong together.")
    arrays = {key: _numbers(file, unpickler.storages[key], size) for key in keys}
    return {name: tensor.view(arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _numbers(file: io.BytesIO, storage: _Storage, size: int) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    length = count * storage.dtype.itemsize
    if count != storage.count or length > size - file.tell():
        raise UserError("it is cut off, or a storage has another length than it says.")
    return np.frombuffer(file.read(length), storage.dtype)


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, gradient: bool, hooks: Any) -> _Tensor:
    """Stands in for `torch._utils._rebuild_tensor_v2`."""
    sizes = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(size) is int and size >= 0 for size in sizes):
        raise UserError("a tensor has a size that is no number.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if len(shape) > MOST_DIMENSIONS or 0 in shape or max(last + 1, math.prod(shape)) > storage.count:
        raise UserError("a tensor reaches beyond its storage.")
    return _Tensor(storage, offset, shape, strides)


# The one in Python, not the one in C: that one allocates as much as a memo index says, 16 GB for five bytes.
class _Unpickler(pickle._Unpickler):
    dispatch = {  # noqa: RUF012
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in OPCODES
    }
    allowed = {  # noqa: RUF012
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        **{("torch", name): dtype for name, dtype in STORAGES.items()},
    }

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise UserError(f"it asks for {module}.{name}, which is refused since it could run any code.")
        return self.allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, view = pid
        valid = kind == "storage" and isinstance(dtype, np.dtype) and type(key) is str and type(count) is int
        if not valid or view is not None:
            raise UserError("it asks for something else than a storage.")
        storage = _Storage(key, dtype, count)
        if self.storages.setdefault(key, storage) != storage:
            raise UserError("two storages have one name.")
        return storage
