"""Weights and scaling out of `.weights.h5` and `.keras` files, without Keras and without running anything that is in them.

Such a file can hold links to other files, arrays of Python objects, shapes of terabytes and code. Here it is asked for
the arrays of known layers with known shapes; whatever else is in it is not looked at.
"""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_imgcls.core.errors import UserError, nearest

LARGEST = 2**32  # bytes of a file: 16 times EfficientNet-B7, optimizer and all
LARGEST_CONFIG = 2**24  # bytes of the JSON in a .keras file: that of EfficientNet-B7 has 0.5 million
CONFIG, WEIGHTS = "config.json", "model.weights.h5"

Shape = tuple[int, ...]


def read_weights(path: str | Path, expected: Mapping[str, Sequence[Shape]]) -> dict[str, list[np.ndarray]]:
    """The arrays of the layers that `expected` names, float32, in the order of `Layer.weights`.

    Args:
        path: a `.weights.h5` or `.keras` file of a flat functional model, as Keras 3 writes it.
        expected: for each layer the shapes of its weights; they are compared before a number is read.

    Raises:
        UserError: the file can't be read, lacks a layer, or a layer has other shapes.
    """
    with opened(path) as file:
        vars_of = _layers(file)
        lacking = [name for name in expected if name not in vars_of]
        if lacking:
            hint = nearest(lacking[0], vars_of)
            raise UserError(f"{path} has no weights for the layer '{lacking[0]}' ({len(lacking)} in all).{hint}")
        return {name: fitted(_datasets(vars_of[name]), shapes, f"{path}: {name}") for name, shapes in expected.items()}


def read_shapes(path: str | Path) -> dict[str, list[Shape]]:
    """The shapes of the weights of each layer that has some, by the layer's name.

    Raises:
        UserError: the file can't be read.
    """
    with opened(path) as file:
        shapes = {name: [dataset.shape for dataset in _datasets(group)] for name, group in _layers(file).items()}
    return {name: found for name, found in shapes.items() if found}


def read_layer_config(path: str | Path, name: str) -> dict[str, Any] | None:
    """The config of the layer `name` in a `.keras` file, as JSON has it; None for a `.weights.h5`, which has no configs.

    Raises:
        UserError: the file can't be read, or has no such layer.
    """
    if not _is_keras(path):
        return None
    with archive(path) as members:
        contents = member(members, CONFIG, LARGEST_CONFIG)
    try:
        layers = json.loads(contents)["config"]["layers"]
        return next(layer["config"] for layer in layers if layer["config"].get("name") == name)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise UserError(f"{path} has no layer '{name}' in its {CONFIG}.") from error


def _is_keras(path: str | Path) -> bool:
    return Path(path).suffix == ".keras"


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """The HDF5 file at `path`, or the one within it; whatever goes wrong inside the block is told with the path."""
    if not str(path).endswith((".keras", ".weights.h5")):
        raise UserError(f"Weights come from a .keras or .weights.h5 file; received {path}.")
    try:
        if _is_keras(path):
            with archive(path) as members:
                source = io.BytesIO(member(members, WEIGHTS, LARGEST))
        else:
            require_size(path)
            source = path
        with h5py.File(source, "r") as file:
            yield file
    except UserError:
        raise
    except Exception as error:  # h5py raises whatever a broken file leads to: OSError, KeyError, RuntimeError …
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"{path} can't be read as weights: {reason}") from error


@contextlib.contextmanager
def archive(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """The `.keras` archive at `path`; what goes wrong inside the block is told with the path."""
    require_size(path)
    try:
        with zipfile.ZipFile(path) as members:
            yield members
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged, or no .keras file: {error}.") from error


def require_size(path: str | Path) -> None:
    """Raises UserError where a file is larger than any model."""
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        raise UserError(f"Can't read {path}: {error.strerror}.") from error
    if size > LARGEST:
        raise UserError(f"{path} has {size:,} bytes; at most {LARGEST:,} are read.")


def member(members: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """The contents of one file in a `.keras` archive, which Keras stores uncompressed."""
    try:
        found = members.getinfo(name)
    except KeyError as error:
        raise UserError(f"{members.filename} has no {name}.") from error
    # Keras stores without compression, so that no member is larger than the file that it is in.
    if found.compress_type != zipfile.ZIP_STORED or found.file_size > largest:
        raise UserError(f"{name} in {members.filename} is compressed or too large: save the model again with Keras.")
    return members.read(found)


def _layers(file: h5py.File) -> dict[str, h5py.Group]:
    """The groups with the variables of each layer, by the layer's name, which Keras writes beside them."""
    found = {}
    for key in subgroup(file, "layers"):
        group = subgroup(subgroup(file, "layers"), key)
        if "vars" in group:
            variables = subgroup(group, "vars")
            name = variables.attrs.get("name")
            if not isinstance(name, str) or name in found:
                raise UserError(f"{file.filename}: layers without names, or two of one: save it again with Keras 3.15.")
            found[name] = variables
    return found


def subgroup(parent: h5py.Group, name: str) -> h5py.Group:
    """The group `name` in `parent`, which lies there itself."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink) or not isinstance(parent[name], h5py.Group):
        raise UserError(f"'{name}' in the file is no group of its own (links are not followed).")
    return parent[name]


def array(parent: h5py.Group, name: str) -> h5py.Dataset:
    """The array `name` in `parent`: plain numbers that lie in this very file."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink) or not isinstance(parent[name], h5py.Dataset):
        raise UserError(f"'{parent.name}/{name}' is no array of its own (links are not followed).")
    found = parent[name]
    # Keras writes no chunks, and one that is compressed may be larger than the array that it is of.
    elsewhere = found.external or found.is_virtual or found.chunks
    if elsewhere or found.shape is None or found.dtype.kind not in "fiu":
        raise UserError(f"'{parent.name}/{name}' is no plain array of numbers.")
    return found


def _datasets(group: h5py.Group) -> list[h5py.Dataset]:
    """The variables 0, 1, 2 … of a layer."""
    return [array(group, key) for key in sorted(group, key=lambda key: (len(key), key))]


def fitted(arrays: Sequence[h5py.Dataset | np.ndarray], shapes: Sequence[Shape], where: str) -> list[np.ndarray]:
    """The arrays of a layer as float32; those of a file are read only if they have the shapes of the model.

    Raises:
        UserError: they have others, or hold numbers that are not finite; `where` is in the message.
    """
    found, wanted = [array.shape for array in arrays], [tuple(shape) for shape in shapes]
    if found != wanted:
        raise UserError(f"{where} has the shapes {found}; the model has {wanted}.")
    numbers = [np.asarray(array[()], np.float32) for array in arrays]
    if not all(np.isfinite(array).all() for array in numbers):
        raise UserError(f"{where} holds numbers that are not finite.")
    return numbers
