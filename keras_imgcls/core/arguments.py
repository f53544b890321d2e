"""Arguments of registered functions: what each takes stands in the signature, and a wrong value is told with it.

`width: Annotated[int, Whole(1, 4096)] = 16` says type, range and default in one place.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, get_type_hints

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.spec import Call


class Rule(Protocol):
    """What a value may be; `str(rule)` completes the sentence "it is …"."""

    def accepts(self, value: Any) -> bool:
        """Whether `value` is allowed."""


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
        return isinstance(value, str) and value in self.words

    def __str__(self) -> str:
        return f"one of {', '.join(repr(word) for word in self.words)}"


@dataclass(frozen=True)
class Several:
    """`count` values in brackets, each as `rule` says."""

    rule: Rule
    count: int

    def accepts(self, value: Any) -> bool:
        """Whether `value` is that many of them."""
        return isinstance(value, (tuple, list)) and len(value) == self.count and all(map(self.rule.accepts, value))

    def __str__(self) -> str:
        return f"{self.count} values in brackets, each {self.rule}"


def bind(function: Callable, call: Call, hidden: int) -> dict[str, Any]:
    """The arguments that `call` gives to `function`, by name, checked; its defaults fill the rest.

    Args:
        function: what was registered; arguments that are annotated with a rule are held against it.
        call: a call that `Registry.check` has passed.
        hidden: how many leading arguments the caller fills in.

    Raises:
        UserError: an argument is missing, or has a value that its rule does not allow.
    """
    parameters = list(inspect.signature(function).parameters.values())[hidden:]
    given = dict(zip((parameter.name for parameter in parameters), call.args, strict=False)) | call.kwargs
    hints = get_type_hints(function, include_extras=True)
    for parameter in parameters:
        if parameter.name not in given and parameter.default is parameter.empty:
            raise UserError(f"{call.name} needs a value for {parameter.name}; received '{call}'.")
        if parameter.name in given:
            for rule in getattr(hints.get(parameter.name), "__metadata__", ()):
                given[parameter.name] = _held(f"{call.name}'s {parameter.name}", given[parameter.name], rule)
    return given


def _held(name: str, value: Any, rule: Rule) -> Any:
    if isinstance(value, Call):
        value = str(value)  # a word without quotes: activation=relu
    if not rule.accepts(value):
        hint = nearest(str(value), rule.words) if isinstance(rule, Choice) else ""
        raise UserError(f"{name} is {rule}; received {value!r}.{hint}")
    return value
