"""Arguments of operations: what each takes stands in the operation's signature, and a wrong value is told with it.

`pixels: Annotated[int, Whole(0, 4096)] = 4` says type, range and default in one place.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.spec import Call


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        return value in self.words

    def __str__(self) -> str:
        return " or ".join(f"'{word}'" for word in self.words)


@dataclass(frozen=True)
class _Colour:
    def accepts(self, value: Any) -> bool:
        levels = value if isinstance(value, tuple) and len(value) == 3 else (value,)
        return all(map(Whole(0, 255).accepts, levels))

    def __str__(self) -> str:
        return "a grey level from 0 to 255, or three (red, green, blue)"


Colour = Annotated[int | tuple[int, int, int], _Colour()]


def bind(operation: Callable, call: Call) -> dict[str, Any]:
    """The arguments that `call` gives to `operation`, by name, checked; its defaults fill the rest.

    Raises:
        UserError: an argument is missing, or has a value that its annotation does not allow.
    """
    parameters = list(inspect.signature(operation).parameters.values())[2:]
    given = dict(zip((parameter.name for parameter in parameters), call.args, strict=False)) | call.kwargs
    hints = get_type_hints(operation, include_extras=True)
    for parameter in parameters:
        if parameter.name not in given and parameter.default is parameter.empty:
            raise UserError(f"{call.name} needs a value for {parameter.name}; received '{call}'.")
        if parameter.name in given:
            for rule in getattr(hints.get(parameter.name), "__metadata__", ()):
                _hold(f"{call.name}'s {parameter.name}", given[parameter.name], rule)
    return given


def _hold(name: str, value: Any, rule: Any) -> None:
    if not rule.accepts(value):
        hint = nearest(str(value), rule.words) if isinstance(rule, Choice) else ""
        raise UserError(f"{name} is {rule}; received {value}.{hint}")
