"""Weights out of files that may run code when they are opened: only where the user trusts the one who made them.

A pickle, and an array of Python objects, which is one within a `.npy` or `.npz` file, runs whatever it holds as it is read.
A `.h5` file of Keras 2 is read here as plain arrays, but what else such a file leads to is looked at less closely than
in a `.weights.h5`.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.weights_file import LARGEST, Shape, fitted, require_size


def read_layers(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The arrays of each layer, in the order of `Layer.weights`.

    Args:
        path: a `.h5` file as Keras 2 wrote it, or a mapping of layers' names to lists of arrays as a pickle (`.pkl`,
            `.pickle`), in a `.npy` file, or with an array of objects for each layer in a `.npz` file.

    Raises:
        UserError: the file can't be read, or holds something else.
    """
    require_size(path)
    try:
        layers = READERS[Path(path).suffix](Path(path))
        return {str(name): [np.asarray(array, np.float32) for array in arrays] for name, arrays in layers.items()}
    except Exception as error:  # whatever the file's own code raises
        raise UserError(f"{path} can't be read as weights: {type(error).__name__}: {error}.") from error


def read_weights(path: str | Path, expected: Mapping[str, Sequence[Shape]]) -> dict[str, list[np.ndarray]]:
    """The arrays of the layers that `expected` names; see `weights_file.read_weights`.

    Raises:
        UserError: as `read_layers`, or a layer is absent, has other shapes, or numbers that are not finite.
    """
    layers = read_layers(path)
    lacking = [name for name in expected if name not in layers]
    if lacking:
        raise UserError(f"{path} has no weights for the layer '{lacking[0]}'.{nearest(lacking[0], layers)}")
    return {name: fitted(layers[name], shapes, f"{path}: {name}") for name, shapes in expected.items()}


def _keras_2(path: Path) -> dict[str, list[Any]]:
    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        layers = {name: [root[name][weight] for weight in root[name].attrs["weight_names"]] for name in root}
        layers = {name: arrays for name, arrays in layers.items() if arrays}
        if sum(array.nbytes for arrays in layers.values() for array in arrays) > LARGEST:
            raise ValueError("its arrays are larger than the file")
        return {name: [array[()] for array in arrays] for name, arrays in layers.items()}


def _pickled(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 (asked for with --trust_file)


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=True) as stored:
        return {name: stored[name] for name in stored.files}


READERS = {
    ".h5": _keras_2,
    ".pkl": _pickled,
    ".pickle": _pickled,
    ".npy": lambda path: np.load(path, allow_pickle=True).item(),
    ".npz": _arrays,
}
