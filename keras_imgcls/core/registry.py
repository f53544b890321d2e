"""Registries: names of models, datasets, augmentations … known without importing what stands behind them.

Keras takes four seconds to import, a misspelt name should be answered at once. So the names are read from the source: each
module of the registry's package is parsed, and a function below `@MODELS.register` counts, its signature too. Functions
of plugins register when their module is imported.
"""

import ast
import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.spec import Call


@dataclass(frozen=True)
class Entry:
    """What is known of a name before its import: where it is, its arguments and the first line of its docstring."""

    module: str
    arguments: tuple[str, ...]
    summary: str
    traits: tuple[str, ...] = ()


class Registry:
    """Functions by name. `@REGISTRY.register` (or `@REGISTRY.register(trait=value)`) above a function adds it."""

    def __init__(self, variable: str, noun: str, package: str, hidden: int = 1) -> None:
        """Names the registry.

        Args:
            variable: the name of the variable that holds this registry, looked for in the source (`MODELS`).
            noun: what an entry is, for messages (`model`).
            package: the package below `keras_imgcls` whose modules hold the entries (`models`).
            hidden: how many leading arguments the caller fills in, so that a spec may not.
        """
        self.variable, self.noun, self.package, self.hidden = variable, noun, package, hidden
        self._registered: dict[str, Callable] = {}
        self._traits: dict[str, dict[str, Any]] = {}

    def register(self, function: Callable | None = None, /, **traits: Any) -> Callable:
        """Adds `function` under its own name; `traits` are facts that its users look up (see `traits`)."""
        if function is None:
            return lambda function: self.register(function, **traits)
        name = function.__name__
        known = self._registered.get(name)
        if (known or name in self._sources) and not self._is_reload(known, function):
            raise ValueError(f"The {self.noun} '{name}' is registered already. Choose another name.")
        self._registered[name], self._traits[name] = function, traits
        return function

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._sources, *self._registered})

    def require(self, name: str) -> None:
        """Raises UserError, with the nearest known name, where `name` is not known. Imports nothing."""
        if name not in self._registered and name not in self._sources:
            known = ", ".join(self.names())
            raise UserError(f"Unknown {self.noun} '{name}'.{nearest(name, self.names())} Known: {known}.")

    def get(self, name: str) -> Callable:
        """The function called `name`, imported if need be.

        Raises:
            UserError: no such name; the message has the nearest one.
        """
        self.require(name)
        if name not in self._registered:
            importlib.import_module(self._sources[name].module)
        return self._registered[name]

    def traits(self, name: str) -> dict[str, Any]:
        """The facts given when `name` was registered."""
        self.get(name)
        return self._traits[name]

    def declaring(self, trait: str) -> list[str]:
        """The names that were registered with `trait`, sorted; imports nothing of the package."""
        written = {name for name, entry in self._sources.items() if trait in entry.traits}
        return sorted(written | {name for name, traits in self._traits.items() if trait in traits})

    def summary(self, name: str) -> str:
        """The first line of the docstring."""
        if name in self._sources:
            return self._sources[name].summary
        return _first_line(inspect.getdoc(self.get(name)))

    def check(self, call: Call) -> Call:
        """`call`, once its name and the names of its arguments are known to be right; imports nothing of the package.

        Raises:
            UserError: an unknown name or argument, or too many arguments.
        """
        self.require(call.name)
        arguments = self.arguments(call.name)
        if len(call.args) > len(arguments):
            raise UserError(f"{call.name} takes {len(arguments)} arguments ({_listed(arguments)}), received '{call}'.")
        for word in call.kwargs:
            if word not in arguments:
                hint = nearest(word, arguments)
                raise UserError(f"{call.name} has no argument '{word}'.{hint} It takes: {_listed(arguments)}.")
            if word in arguments[: len(call.args)]:
                raise UserError(f"{call.name} received '{word}' twice: '{call}'.")
        return call

    def arguments(self, name: str) -> tuple[str, ...]:
        """The names of the arguments that a spec may give to `name`; imports nothing of the package."""
        if name in self._sources:
            return self._sources[name].arguments[self.hidden :]
        return tuple(inspect.signature(self.get(name)).parameters)[self.hidden :]

    def _is_reload(self, known: Callable | None, function: Callable) -> bool:
        entry = self._sources.get(function.__name__)
        module = known.__module__ if known else entry.module
        return module == function.__module__

    @cached_property
    def _sources(self) -> dict[str, Entry]:
        root = Path(__file__).parents[1]
        entries = {}
        for path in sorted((root / self.package.replace(".", "/")).glob("*.py")):
            module = f"keras_imgcls.{self.package}.{path.stem}"
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and self._registers(node.decorator_list):
                    arguments = tuple(argument.arg for argument in (*node.args.args, *node.args.kwonlyargs))
                    summary = _first_line(ast.get_docstring(node))
                    entries[node.name] = Entry(module, arguments, summary, _keywords(node.decorator_list))
        return entries

    def _registers(self, decorators: Iterable[ast.expr]) -> bool:
        expected = f"{self.variable}.register"
        return any(ast.unparse(getattr(node, "func", node)) == expected for node in decorators)


def _keywords(decorators: Iterable[ast.expr]) -> tuple[str, ...]:
    return tuple(word.arg for node in decorators for word in getattr(node, "keywords", ()))


def _first_line(docstring: str | None) -> str:
    return (docstring or "").partition("\n")[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


MODELS = Registry("MODELS", "model", "models")
DATASETS = Registry("DATASETS", "dataset", "data.readers")
AUGMENTATIONS = Registry("AUGMENTATIONS", "augmentation", "augment", hidden=2)
MIXES = Registry("MIXES", "mix", "augment", hidden=2)
OPTIMIZERS = Registry("OPTIMIZERS", "optimizer", "training", hidden=2)
SCHEDULES = Registry("SCHEDULES", "schedule", "training", hidden=2)
AVERAGES = Registry("AVERAGES", "averaging", "training", hidden=0)
LOSSES = Registry("LOSSES", "loss", "training", hidden=2)
