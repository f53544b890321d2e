"""Checkpoints: the whole state of a run, written whole, checked on the way back, two of them kept."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_imgcls.core import files
from keras_imgcls.core.console import warn
from keras_imgcls.core.errors import UserError

KEPT = 2


class Diverged(UserError):
    """Training has left the finite numbers."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified.

    Attributes:
        arrays: the values of the learner's state, in its order.
        position: plain values: the epoch, the step within it, the history and the counters of the loop.
    """

    arrays: list[np.ndarray]
    position: dict[str, Any]

    def restore_first(self, variables: Sequence[keras.Variable]) -> None:
        """Assigns the first arrays, those of the model, to its `variables`.

        Raises:
            UserError: the checkpoint belongs to another model.
        """
        Checkpoint(self.arrays[: len(variables)], {}).restore(variables)

    def restore(self, state: Sequence[keras.Variable]) -> None:
        """Assigns the arrays to `state`.

        Raises:
            UserError: the checkpoint belongs to another model or optimizer.
        """
        shapes = [tuple(variable.shape) for variable in state]
        if shapes != [array.shape for array in self.arrays]:
            raise UserError("The checkpoint holds another model, optimizer or averaging than these flags make.")
        for variable, array in zip(state, self.arrays, strict=True):
            variable.assign(array)


def snapshot(step: int, state: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Copies of the values of `state`, which the next step may change.

    Raises:
        Diverged: a weight is not finite.
    """
    arrays = [keras.ops.convert_to_numpy(variable.value) for variable in state]
    if not all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f"):
        raise Diverged(f"The state at step {step} has values that are not finite; it is not saved over good ones.")
    return arrays


def write(folder: Path, step: int, arrays: Sequence[np.ndarray], position: dict[str, Any]) -> None:
    """Writes `step-STEP.npz`, then its `.json` with the checksum; older ones go only when both are there and can be read.

    Raises:
        UserError: the disk refuses, or gives back something else.
    """
    stem = folder / f"step-{step:09}"
    with files.atomic(stem.with_suffix(".npz")) as temporary:
        np.savez(temporary, **{f"{index:05}": array for index, array in enumerate(arrays)})
        _require_readable(temporary)
        digest = files.digest(temporary)
    # A NaN of validation may stand in the history: Python's JSON has a word for it, and only we read this file.
    files.write_text(stem.with_suffix(".json"), json.dumps({"sha256": digest, "position": position}))
    for old in sorted(folder.glob("step-*.json"))[:-KEPT]:
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)


def _require_readable(archive: Path) -> None:
    """Raises OSError where a member differs from its CRC, which was taken from memory."""
    try:
        with zipfile.ZipFile(archive) as members:
            damaged = members.testzip()
    except zipfile.BadZipFile as error:
        raise OSError(f"it does not read back as it was written ({error})") from error
    if damaged:
        raise OSError(f"it does not read back as it was written ({damaged})")


def load(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in `folder` that verifies; None where there is none. Says which ones did not.

    Raises:
        UserError: there are some, and all are damaged: to begin anew is not for us to decide.
    """
    paths = sorted(folder.glob("step-*.json"), reverse=True)
    for path in paths:
        try:
            return _read(path)
        except (OSError, ValueError, KeyError) as error:
            warn(f"the checkpoint {path.stem} is damaged and left out: {error}")
    if paths:
        raise UserError(
            f"All checkpoints in {folder} are damaged, so that the run can't go on. --overwrite begins it anew."
        )
    return None


def _read(path: Path) -> Checkpoint:
    description = json.loads(path.read_text(encoding="utf-8"))
    archive = path.with_suffix(".npz")
    if files.digest(archive) != description["sha256"]:
        raise ValueError("its checksum differs")
    with np.load(archive, allow_pickle=False) as stored:
        arrays = [stored[name] for name in sorted(stored.files)]
    return Checkpoint(arrays, description["position"])
