"""Options: frozen dataclass <-> absl flags <-> flagfile.

A knob is one line of a dataclass (`core.config` holds them); here they become flags, and a flagfile becomes them again.
What stands on the command line wins over a flagfile, wherever it stands: absl alone lets the later one win.
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import flags

from keras_imgcls.core.errors import UserError, nearest

RECIPES = Path(__file__).parents[1] / "recipes"

GIVEN = "_given"

Config = TypeVar("Config")


class HelpRequested(Exception):
    """`--help` stood on the command line; the text is the argument."""


def option(
    default: str | int | float | bool,
    description: str,
    *,
    choices: Sequence[str | int] = (),
    low: float | None = None,
    high: float | None = None,
    stored: bool = True,
    words: Mapping[str, int] | None = None,
) -> Any:
    """A field of an options dataclass.

    Args:
        default: the value where nothing is said; its type is the flag's type.
        description: the help text.
        choices: the only values allowed.
        low: the smallest value allowed.
        high: the largest value allowed.
        words: what may stand for a whole number on the command line.
        stored: whether a run's `config.flags` repeats it (`--run_dir` and its like are not part of what a run is).
    """
    metadata = {
        "help": description,
        "choices": tuple(choices),
        "low": low,
        "high": high,
        "stored": stored,
        "words": words or {},
    }
    return dataclasses.field(default=default, metadata=metadata)


def parse(config_class: type[Config], arguments: Sequence[str], usage: str) -> Config:
    """The options that `arguments` spell, flagfiles included.

    Args:
        config_class: a frozen dataclass of `option` fields.
        arguments: the command line after the verb.
        usage: the first lines of the help text.

    Raises:
        HelpRequested: with the help text, for `--help`.
        UserError: an unknown flag, a bad value, a stray positional argument, a missing flagfile.
    """
    if any(argument in ("--help", "-help", "-h", "--helpfull", "-?") for argument in arguments):
        raise HelpRequested(help_text(config_class, usage))
    from_files, from_line = _expand(arguments)
    values = _absl_flags(config_class)
    try:
        positional = values(["", *from_files, *from_line])[1:]
    except flags.UnrecognizedFlagError as error:
        names = [field.name for field in dataclasses.fields(config_class)]
        raise UserError(f"Unknown flag --{error.flagname}.{nearest(error.flagname, names)} See --help.") from error
    except flags.Error as error:
        raise UserError(str(error)) from error
    if positional:
        raise UserError(f"Unexpected argument '{positional[0]}': every option is a flag, --name=value. See --help.")
    names = [field.name for field in dataclasses.fields(config_class)]
    config = config_class(**{name: values[name].value for name in names})
    object.__setattr__(config, GIVEN, frozenset(name for name in names if values[name].present))  # it is frozen
    return config


def is_given(config: Any, name: str) -> bool:
    """Whether the flag `name` stood on the command line that `config` was parsed from, or in a flagfile."""
    return name in getattr(config, GIVEN, ())


def check(config: Any) -> None:
    """Holds every value of `config` against the choices and the range of its field, for configs built in Python.

    Raises:
        UserError: naming the flag, what it takes and what was received.
    """
    for field in dataclasses.fields(config):
        value, rule = getattr(config, field.name), field.metadata
        if rule["choices"] and value not in rule["choices"]:
            known = [str(choice) for choice in rule["choices"]]
            hint = nearest(str(value), known)
            raise UserError(f"--{field.name} is one of {', '.join(known)}; received '{value}'.{hint}")
        too_low = rule["low"] is not None and value < rule["low"]
        too_high = rule["high"] is not None and value > rule["high"]
        if (isinstance(value, float) and value != value) or too_low or too_high:
            raise UserError(f"--{field.name} is {_range(rule)}; received {value}.")


def write_flagfile(config: Any) -> str:
    """The text of a flagfile that gives `config` again, in the order and the groups of its dataclass."""
    lines = []
    for group, fields in _groups(type(config)):
        stored = [field for field in fields if field.metadata["stored"]]
        lines += [f"# {group}", *(f"--{field.name}={_quoted(getattr(config, field.name))}" for field in stored), ""]
    return "\n".join(lines)


def read_flagfile(name: str | Path, _outer: tuple[Path, ...] = ()) -> list[str]:
    """The arguments in a flagfile: a file here or a packaged recipe; it may name others with `--flagfile=`.

    Raises:
        UserError: there is no such file, or it names itself.
    """
    path = _locate(Path(name), _outer[-1].parent if _outer else Path())
    if path in _outer:
        raise UserError(f"The flagfile {path} names itself.")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The flagfile {path} can't be read: {error}.") from error
    arguments: list[str] = []
    for line in lines:
        if line.startswith(("#", "//")) or not line:
            continue
        flag, equals, value = line.partition("=")
        if flag.lstrip("-") == "flagfile":
            arguments += read_flagfile(_unquoted(value), (*_outer, path))
        elif not line.startswith("-"):
            raise UserError(f"The flagfile {path} has a line that is no flag: '{line}'.")
        else:
            arguments.append(f"{flag}{equals}{_unquoted(value)}")
    return arguments


def help_text(config_class: type, usage: str) -> str:
    """Every flag of a verb, grouped as in its dataclass."""
    lines = [usage, ""]
    for group, fields in _groups(config_class):
        lines.append(f"{group}:")
        for field in fields:
            description = f"{field.metadata['help']} {_limits(field.metadata)}".strip()
            flag = f"  --{field.name}={field.default}"
            lines += textwrap.wrap(
                f"{flag:<36} {description}",
                118,
                subsequent_indent=" " * 37,
                break_on_hyphens=False,
                break_long_words=False,
            )
        lines.append("")
    lines += ["--flagfile=FILE reads flags from a file, one a line; the command line wins over it. Packaged recipes:"]
    lines += ["  " + ", ".join(sorted(path.name for path in RECIPES.glob("*.flags")))]
    return "\n".join(lines)


def _expand(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    from_files, from_line = [], []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in ("--flagfile", "-flagfile"):
            from_files += read_flagfile(value if equals else next(rest, ""))
        else:
            from_line.append(argument)
    return from_files, from_line


def _locate(name: Path, folder: Path) -> Path:
    candidates = [folder / name] if name.is_absolute() or name.parent != Path() else [folder / name, RECIPES / name]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    recipes = [path.name for path in RECIPES.glob("*.flags")]
    hint = nearest(name.name, recipes)
    raise UserError(f"There is no flagfile '{name}'.{hint} Packaged recipes: {', '.join(sorted(recipes))}.")


def _absl_flags(config_class: type) -> flags.FlagValues:
    values = flags.FlagValues()
    for field in dataclasses.fields(config_class):
        define, rule = _DEFINERS[type(field.default)], field.metadata
        if rule["choices"] and isinstance(field.default, str):
            flags.DEFINE_enum(field.name, field.default, rule["choices"], rule["help"], flag_values=values)
        elif rule["words"]:
            flags.DEFINE(_WholeOrWord(rule["words"]), field.name, field.default, rule["help"], flag_values=values)
        else:
            define(field.name, field.default, rule["help"], flag_values=values)
    return values


class _WholeOrWord(flags.IntegerParser):
    """A whole number, or a word that stands for one."""

    def __init__(self, words: Mapping[str, int]) -> None:
        super().__init__()
        self._words = words

    def parse(self, argument: str | int) -> int:
        return self._words[argument] if argument in self._words else super().parse(argument)


_DEFINERS = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def _groups(config_class: type) -> Iterator[tuple[str, list[dataclasses.Field]]]:
    """The fields below the title (first docstring line) of the class that declares them, in the order of the bases."""
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    for base in (*config_class.__bases__, config_class):
        own = [fields[name] for name in inspect.get_annotations(base) if name in fields]
        if own:
            yield (base.__doc__ or base.__name__).partition("\n")[0].rstrip("."), own


def _limits(rule: Any) -> str:
    if rule["choices"]:
        return f"[{'|'.join(str(choice) for choice in rule['choices'])}]"
    return f"[{_range(rule)}]" if rule["low"] is not None or rule["high"] is not None else ""


def _range(rule: Any) -> str:
    low, high = rule["low"], rule["high"]
    if low is not None and high is not None:
        return f"between {low} and {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else "a number"


def _quoted(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\n" in text or "\r" in text:
        raise UserError(f"A flagfile can't hold a value with a line break: {text!r}.")
    return f'"{text}"' if text[:1] in ("'", '"') or text != text.strip() else text


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
