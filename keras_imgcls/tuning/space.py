"""The search space: flags of `train` and the values that they may take. `grammar` reads it from text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.options import RECIPES
from keras_imgcls.core.spec import parse_sequence

DIGITS = 5  # of a number that was drawn: enough to tell two apart, and the same after a transport in float32


@dataclass(frozen=True)
class Condition:
    """Holds where the parameter `name` has one of `values`."""

    name: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name}={'|'.join(_text(value) for value in self.values)}"


@dataclass(frozen=True)
class Parameter:
    """A flag and what it may be: one of `values`, or a number from `low` to `high`, both included.

    `key` is its name in keras-tuner: the flag's, with the condition behind it where a flag stands twice.
    """

    name: str
    kind: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    condition: Condition | None = None
    key: str = ""

    @property
    def logarithmic(self) -> bool:
        """Whether it is drawn on a logarithmic scale."""
        return self.kind in ("log", "log_int")

    def __str__(self) -> str:
        step = f", step={self.step}" if self.step else ""
        inside = ", ".join(map(_text, self.values)) if self.kind == "choice" else f"{self.low}, {self.high}{step}"
        when = f" when {self.condition}" if self.condition else ""
        return f"{self.name}={self.kind}({inside}){when}"


@dataclass(frozen=True)
class Space:
    """The parameters of a search, parents before those that depend on them."""

    parameters: tuple[Parameter, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.parameters))

    def config(self, base: TrainConfig, values: dict[str, Any]) -> TrainConfig:
        """`base` with the flags that `values` (by key) set; numbers have five digits, so that a flagfile reads well."""
        changes = {p.name: rounded(values[p.key]) for p in self.parameters if p.key in values}
        return config_module.replace(base, **changes)

    def shown(self, values: dict[str, Any]) -> dict[str, Any]:
        """Flag and value of each parameter that is active in `values`."""
        return {p.name: rounded(values[p.key]) for p in self.parameters if p.key in values}


def rounded(value: Any) -> Any:
    """A number to five digits; anything else as it is."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def read(search: str) -> str:
    """The text of `--search`: itself, or what the file of that name holds (here, or packaged), for a name that ends in `.search`.

    Raises:
        UserError: there is no such file, or nothing was given.
    """
    if not search.strip():
        raise UserError(
            "What is to be searched? Give --search='learning_rate=log(0.001, 0.1)' or --search=FILE.search."
        )
    if not search.strip().endswith(".search"):
        return search
    name = Path(search.strip())
    for path in (name, RECIPES / name.name if name.parent == Path() else name):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    known = sorted(path.name for path in RECIPES.glob("*.search"))
    raise UserError(f"There is no search space '{name}'.{nearest(name.name, known)} Packaged: {', '.join(known)}.")


def _text(value: Any) -> str:
    """`value` as it is spelt in a space: specs bare, other text quoted."""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    try:
        return (
            value if value == "none" or str("|".join(map(str, parse_sequence(value)))) == value != "" else repr(value)
        )
    except UserError:
        return repr(value)
