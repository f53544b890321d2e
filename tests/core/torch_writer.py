"""Files in PyTorch's old format, put together opcode by opcode: sound ones, and ones that PyTorch would never write."""

import pickle
import struct

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
KINDS = {np.dtype("float32"): "FloatStorage", np.dtype("int64"): "LongStorage"}
TENSOR = "torch._utils\n_rebuild_tensor_v2"


def body(value) -> bytes:
    """The opcodes that leave a plain value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key, numel, shape, strides, offset=0, kind="torch\nFloatStorage", function=TENSOR, call="storage") -> bytes:
    """The opcodes of one tensor."""
    storage = b"(" + body(call) + f"c{kind}\n".encode() + body(key) + body("cpu") + body(numel) + b"NtQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        f"c{function}\n(".encode() + storage + body(offset) + body(shape) + body(strides) + body(False) + hooks + b"tR"
    )


def whole(tensors: dict[str, bytes], storages: dict[str, np.ndarray], **changes) -> bytes:
    """A file of `tensors` (opcodes by name) and `storages`; `changes` put other things in place of the four pickles."""
    state = b"}(" + b"".join(body(name) + opcodes for name, opcodes in tensors.items()) + b"u"
    parts = {
        "magic": pickle.dumps(MAGIC, 2),
        "version": pickle.dumps(VERSION, 2),
        "system": pickle.dumps(SYSTEM, 2),
        "state": b"\x80\x02" + state + b".",
        "keys": pickle.dumps(list(storages), 2),
    } | changes
    numbers = [struct.pack("<q", array.size) + array.tobytes() for array in storages.values()]
    return b"".join([*parts.values(), *numbers])
