"""The phases of a run: in which epochs how much of the model stays as it is.

`--freeze="features|stage4" --unfreeze_epoch="11|16"` has three (gradual unfreezing: Howard and Ruder 2018,
https://arxiv.org/abs/1801.06146): ten epochs of the head alone, five of what is behind stage 4, then everything.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from keras_imgcls.core.errors import UserError, nearest

LANDMARK = re.compile(r"stem|stage[1-9]\d*|features")
EVERYTHING_TRAINS = "none"


@dataclass(frozen=True)
class Phase:
    """Epochs that train the same part of the model.

    Attributes:
        start: the first of them, counted from 0.
        stop: the first one after them.
        frozen: the landmark up to which nothing is trained; `none`: everything is.
    """

    start: int
    stop: int
    frozen: str = EVERYTHING_TRAINS

    @property
    def epochs(self) -> int:
        """How many epochs it has."""
        return self.stop - self.start


def parse(freeze: str, unfreeze_epoch: str, epochs: int) -> list[Phase]:
    """The phases of `epochs` epochs, in order, without those that have none.

    Args:
        freeze: `none`, a landmark, or several with bars between them.
        unfreeze_epoch: for each of them the epoch, counted from 1, from which it no longer holds; 0: never, for the last.
        epochs: of the whole run.

    Raises:
        UserError: a name that no landmark has, or epochs that don't go with the landmarks.
    """
    if freeze.strip() in ("", EVERYTHING_TRAINS):
        return [Phase(0, epochs)]
    landmarks = [part.strip() for part in freeze.split("|")]
    for landmark in landmarks:
        if not LANDMARK.fullmatch(landmark):
            known = (EVERYTHING_TRAINS, "stem", "stage1", "stage2", "features")
            hint = nearest(landmark, known)
            raise UserError(f"--freeze is none, stem, stage1, stage2 … or features; received '{landmark}'.{hint}")
    stops = [stop - 1 if stop else epochs for stop in _epochs(unfreeze_epoch, landmarks)]
    borders = [0, *(min(stop, epochs) for stop in stops), epochs]
    names = [*landmarks, EVERYTHING_TRAINS]
    phases = [Phase(start, stop, name) for (start, stop), name in zip(itertools.pairwise(borders), names, strict=True)]
    return [phase for phase in phases if phase.epochs > 0]


def write(phases: Sequence[Phase]) -> dict[str, str | int]:
    """The flags `freeze`, `unfreeze_epoch` and `epochs` that give `phases` again."""
    frozen = [phase for phase in phases if phase.frozen != EVERYTHING_TRAINS]
    ends = [0 if phase.stop == phases[-1].stop else phase.stop + 1 for phase in frozen]
    return {
        "freeze": "|".join(phase.frozen for phase in frozen) or EVERYTHING_TRAINS,
        "unfreeze_epoch": "|".join(map(str, ends)) or "0",
        "epochs": phases[-1].stop,
    }


def with_epochs(plan: Sequence[Phase], epochs: Sequence[int]) -> list[Phase]:
    """`plan` with another number of epochs for each phase; those that get none are left out."""
    starts = [sum(epochs[:number]) for number in range(len(plan))]
    rows = zip(starts, plan, epochs, strict=True)
    return [Phase(start, start + number, phase.frozen) for start, phase, number in rows if number]


def _epochs(text: str, landmarks: Sequence[str]) -> list[int]:
    parts = [part.strip() for part in str(text).split("|")]
    if len(parts) != len(landmarks):
        raise UserError(
            f"--unfreeze_epoch has one epoch for each landmark of --freeze: {len(landmarks)} expected, received '{text}'."
        )
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--unfreeze_epoch is an epoch, or several with bars between them; received '{text}'.")
    numbers = [int(part) for part in parts]
    if 0 in numbers[:-1] or any(late >= later for late, later in itertools.pairwise(numbers) if later):
        raise UserError(f"--unfreeze_epoch has growing epochs, and 0 (never) only at the end; received '{text}'.")
    return numbers
