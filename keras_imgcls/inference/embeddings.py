"""Embeddings: feature vectors on their way to a `.npy` file, row by row, so that memory stays flat."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keras_imgcls.core import files


@contextlib.contextmanager
def growing_array(path: str | Path, width: int) -> Iterator[Callable[[np.ndarray | None], None]]:
    """A function that adds a row of `width` float32 to the array in `path`; None adds NaNs.

    The file is there when the block ends well, and `numpy.load` reads it, with `mmap_mode` too.

    Raises:
        UserError: the file can't be written.
    """
    rows = 0
    nothing = np.full(width, np.nan, np.float32)

    def header() -> None:
        # NumPy leaves room in the header for any number of rows, so that it can be written over.
        description = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(file, description)

    def add(row: np.ndarray | None) -> None:
        nonlocal rows
        file.write((nothing if row is None else row).astype("<f4").tobytes())
        rows += 1

    with files.atomic(path) as temporary, open(temporary, "wb") as file:
        header()
        yield add
        file.seek(0)
        header()
