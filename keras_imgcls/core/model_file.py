"""What is in a whole model's `.keras` file, looked at as text and plain arrays before Keras builds anything of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.weights_file import CONFIG, LARGEST_CONFIG, WEIGHTS, archive, array, member, opened, subgroup

MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
GROUPS, DEPTH = 100_000, 32  # that a file may have; a group may be linked into itself
LARGEST_SIDE = 4096  # pixels, as --image_size has it
MODULES = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.src.ops.")
MODELS = {"Functional", "Sequential", "Model", "DTypePolicy"}  # of `keras` and `keras.src.models`
VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__ellipsis__", "__slice__"}
# Layers that run code from the config, or read files and addresses that it names.
REFUSED = {
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup", "IntegerLookup", "TextVectorization",
}  # fmt: skip


def read_model_config(path: str | Path) -> tuple[dict[str, Any], int]:
    """The config of the model in a `.keras` file, as JSON has it, and how many numbers its arrays hold.

    Raises:
        UserError: the file has other parts than a model's three, links, arrays that lie elsewhere or are no plain
            numbers, or is larger than a model is.
    """
    with archive(path) as members:
        names = members.namelist()
        odd = [name for name in names if name not in MEMBERS] or [name for name in names if names.count(name) > 1]
        if odd:
            raise UserError(f"{path} holds {odd[0]!r} beside the three parts of a model: refused.")
        contents = member(members, CONFIG, LARGEST_CONFIG)
    try:
        config = json.loads(contents)
        layers = config["config"]["layers"]
        if not all(isinstance(layer["config"], dict) for layer in layers):
            raise TypeError
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise UserError(f"{path} has no model in its {CONFIG}.") from error
    with opened(path) as file:
        arrays = list(_all_arrays(file, [0], DEPTH))
        # HDF5 stores no zeros that weren't written.
        if sum(found.nbytes for found in arrays) > Path(path).stat().st_size:
            raise UserError(f"{path} pretends to hold arrays that are larger than the file.")
        return config, sum(found.size for found in arrays)


def require_whole(path: str | Path) -> None:
    """Raises UserError where a `.keras` file is cut off or a part of it has another checksum: Keras says "not found"."""
    with archive(path) as members:
        broken = members.testzip()
    if broken:
        raise UserError(f"{path} is damaged: {broken} in it has another checksum.")


def _all_arrays(group: h5py.Group, seen: list[int], depth: int) -> Iterator[h5py.Dataset]:
    for key in group:
        seen[0] += 1
        if seen[0] > GROUPS or not depth:
            raise UserError("the file has more groups than a model.")
        if isinstance(group.get(key, getlink=True), h5py.HardLink) and isinstance(group[key], h5py.Dataset):
            yield array(group, key)
        else:
            yield from _all_arrays(subgroup(group, key), seen, depth - 1)


def require_plain(config: Any, path: str | Path, is_known: Callable[[str], bool]) -> None:
    """Holds that a config names nothing but Keras' own layers and what they are made of.

    Args:
        config: as `read_model_config` gives it.
        path: where it comes from, for the message.
        is_known: whether a registered name ('package>Name') is that of a class of this process, such as a plugin's.

    Raises:
        UserError: it names something that could run code or read files.
    """
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            if "class_name" in part and not _is_plain(part, is_known):
                named = ".".join(str(part[key]) for key in ("module", "class_name") if part.get(key))
                raise UserError(
                    f"{path} asks for {named[:200]!r}, which is no plain layer of Keras: refused, since it could run code "
                    "or read files. --trust_file loads it all the same."
                )
            shape = part.get("batch_shape")
            if isinstance(shape, list) and not all(side is None or _is_side(side) for side in shape[1:]):
                raise UserError(f"{path} takes images of {shape[1:]}: at most {LARGEST_SIDE} pixels a side.")


def _is_plain(part: dict[str, Any], is_known: Callable[[str], bool]) -> bool:
    name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if not isinstance(name, str) or name in REFUSED:
        return False
    if name in VALUES:
        return True
    if isinstance(registered, str) and is_known(registered):
        return True
    if not isinstance(module, str):
        return False
    if module == "keras" or module.startswith("keras.src.models."):
        return name in MODELS
    return module in MODULES or module.startswith(MODULES[-1])


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and 0 < side <= LARGEST_SIDE
