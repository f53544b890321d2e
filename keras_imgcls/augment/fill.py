"""The fill: a colour as an argument, of borders and of erased squares."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from keras_imgcls.core.arguments import Whole
from keras_imgcls.core.errors import UserError


@dataclass(frozen=True)
class _Levels:
    def accepts(self, value: Any) -> bool:
        levels = value if isinstance(value, tuple) and len(value) == 3 else (value,)
        return all(map(Whole(0, 255).accepts, levels))

    def __str__(self) -> str:
        return "a grey level from 0 to 255, or three (red, green, blue)"


Colour = Annotated[int | tuple[int, int, int], _Levels()]


def colour(fill: Colour, channels: int) -> np.ndarray:
    """`fill` as uint8 of shape (channels,).

    Raises:
        UserError: three levels for images of another number of channels.
    """
    if isinstance(fill, tuple) and len(fill) != channels:
        raise UserError(f"A fill of {len(fill)} levels needs images of as many channels; received {channels}.")
    return np.broadcast_to(np.array(fill, np.uint8), [channels])
