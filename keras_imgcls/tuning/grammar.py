"""Reads a search space: Python's own tokenizer and parser, nothing evaluated, every value held against its flag.

    learning_rate=log(0.01, 3); model=choice(resnet20, resnet20(width=32))
    momentum=uniform(0.8, 0.99) when optimizer=sgd

One parameter a line or between semicolons; `#` begins a comment. Kinds: `uniform(low, high)`, `log(low, high)`, `int(low, high)`,
`log_int(low, high)`, each with `step=` (added; for the logarithmic ones a factor), and `choice(a, b, …)`.
"""

import ast
import dataclasses
import io
import tokenize
from typing import Any

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.spec import parse_sequence
from keras_imgcls.tuning.space import Condition, Parameter, Space

KINDS = {"uniform": float, "log": float, "int": int, "log_int": int}
NUMBERS = {float: "uniform(low, high) or log(low, high)", int: "int(low, high) or log_int(low, high)"}
FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}
# Trials that differ in one of these can't be compared by a number, or are not runs of one search.
FIXED = (
    "dataset", "data_dir", "fraction", "test_fraction", "validation_fraction", "on_bad_image", "cache", "seed", "monitor",
    "max_minutes", "checkpoint_every", "deterministic", "plugin", "group_by", "folds", "fold",
)  # fmt: skip


def parse(text: str, base: TrainConfig) -> Space:
    """The space that `text` spells, every value of it allowed by its flag. Nothing heavy is imported.

    Args:
        text: see the head of this module.
        base: the flags that are not searched.

    Raises:
        UserError: naming the parameter, what was expected, and the nearest valid thing.
    """
    parameters: list[Parameter] = []
    for tokens in _statements(text):
        parameters.append(_parameter(tokens, parameters, base))
    if not parameters:
        raise UserError("The search space is empty: expected lines such as 'learning_rate=log(0.001, 0.1)'.")
    names = [parameter.name for parameter in parameters]
    keyed = tuple(
        dataclasses.replace(p, key=p.name if names.count(p.name) == 1 else f"{p.name} when {p.condition}")
        for p in parameters
    )
    for parameter in keyed:
        _check_values(parameter, keyed, base)
    return Space(keyed)


def _statements(text: str) -> list[list[str]]:
    """The tokens of each parameter; Python's own tokenizer knows brackets, quotes and comments."""
    lines = "\n".join(line.strip() for line in text.splitlines()) + "\n"
    found: list[list[str]] = [[]]
    try:
        for token in tokenize.generate_tokens(io.StringIO(lines).readline):
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER) or token.string == ";":
                found.append([])
            elif token.type not in (tokenize.COMMENT, tokenize.NL):
                found[-1].append(token.string)
    except (tokenize.TokenError, SyntaxError) as error:
        raise UserError(f"The search space can't be read ({error.args[0]}): '{text.strip()}'.") from error
    return [tokens for tokens in found if tokens]


def _parameter(tokens: list[str], above: list[Parameter], base: TrainConfig) -> Parameter:
    text = " ".join(tokens)
    at = tokens.index("when") if "when" in tokens else len(tokens)
    name, node = _assignment(tokens[:at], text)
    _require_searchable(name)
    condition = _condition(tokens[at + 1 :], above, base, text) if at < len(tokens) else None
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise UserError(f"'{text}': expected a range or a choice, such as {name}={_example(name)}.")
    kind, step = node.func.id, [word.value for word in node.keywords if word.arg == "step"]
    if kind not in (*KINDS, "choice") or len(step) != len(node.keywords) or (kind == "choice" and step):
        hint = nearest(kind, (*KINDS, "choice"))
        raise UserError(
            f"'{text}': expected {', '.join(KINDS)} (each may have step=) or choice, received '{kind}'.{hint}"
        )
    values = tuple(_value(argument, name) for argument in node.args)
    if kind == "choice":
        parameter = Parameter(name, kind, values, condition=condition)
        if len(set(values)) != len(values) or len(values) < 2:
            raise UserError(f"'{text}': a choice has two values or more, all different.")
    else:
        parameter = _range(name, kind, values, step, text, condition)
    _require_apart(parameter, above)
    return parameter


def _range(
    name: str, kind: str, values: tuple, step: list[ast.expr], text: str, condition: Condition | None
) -> Parameter:
    if type(FIELDS[name].default) is not KINDS[kind]:
        raise UserError(f"'{text}': --{name} takes {_example(name)}, not {kind}.")
    if len(values) != 2 or not values[0] < values[1]:
        raise UserError(f"'{text}': expected {kind}(low, high) with low below high.")
    logarithmic = kind in ("log", "log_int")
    if logarithmic and values[0] <= 0:
        raise UserError(f"'{text}': a logarithmic range begins above 0.")
    pace = _value(step[0], name) if step else None
    if pace is not None and pace <= (1 if logarithmic else 0):
        raise UserError(f"'{text}': the step is {'a factor above 1' if logarithmic else 'above 0'}; received {pace}.")
    return Parameter(name, kind, (), *values, pace, condition)


def _assignment(tokens: list[str], text: str) -> tuple[str, ast.expr]:
    if len(tokens) < 3 or tokens[1] != "=" or not tokens[0].isidentifier():
        raise UserError(f"Expected a parameter such as 'learning_rate=log(0.001, 0.1)', received '{text}'.")
    try:
        return tokens[0], ast.parse(" ".join(tokens[2:]), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"'{text}': '{' '.join(tokens[2:])}' can't be read.") from error


def _condition(tokens: list[str], above: list[Parameter], base: TrainConfig, text: str) -> Condition:
    name, node = _assignment(tokens, text)
    parents = [parameter for parameter in above if parameter.name == name]
    if not parents:
        fixed = f" It is {getattr(base, name)!r} in all trials." if name in FIELDS else ""
        known = [parameter.name for parameter in above]
        raise UserError(f"'{text}': {name} is not searched above this line.{nearest(name, known)}{fixed}")
    if len(parents) > 1:
        raise UserError(f"'{text}': {name} stands twice above, so nothing can depend on it.")
    allowed = parents[0].values
    if not allowed:
        raise UserError(f"'{text}': a condition is on a choice, and {name} is a range.")
    nodes = [node] if _value(node, name) in allowed else _alternatives(node)
    values = tuple(_value(part, name) for part in nodes)
    for value in values:
        if value not in allowed:
            known = [str(one) for one in allowed]
            raise UserError(
                f"'{text}': {name} is never '{value}'.{nearest(str(value), known)} It is one of {', '.join(known)}."
            )
    return Condition(name, values)


def _alternatives(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_alternatives(node.left), node.right]
    return [node]


def _require_searchable(name: str) -> None:
    if name not in FIELDS:
        raise UserError(f"train has no flag --{name} to be searched.{nearest(name, FIELDS)}")
    if name in FIXED or not FIELDS[name].metadata["stored"]:
        raise UserError(
            f"--{name} can't be searched: all trials of a search share it, so that their scores can be compared."
        )


def _require_apart(parameter: Parameter, above: list[Parameter]) -> None:
    """A flag stands twice only under conditions on one parent that never hold together."""
    for other in above:
        if other.name == parameter.name:
            one, two = other.condition, parameter.condition
            if not one or not two or one.name != two.name or set(one.values) & set(two.values):
                raise UserError(f"{parameter.name} is searched twice, and both may hold: '{other}' and '{parameter}'.")


def _check_values(parameter: Parameter, parameters: tuple[Parameter, ...], base: TrainConfig) -> None:
    changes: dict[str, Any] = {}
    condition = parameter.condition
    while condition:
        changes[condition.name] = condition.values[0]
        condition = next(p.condition for p in parameters if p.name == condition.name)
    for value in parameter.values or (parameter.low, parameter.high):
        try:
            config_module.check(config_module.replace(base, **changes, **{parameter.name: value}))
        except UserError as error:
            raise UserError(f"'{parameter}': {error}") from error


def _value(node: ast.expr, name: str) -> Any:
    """The value of a flag that `node` spells, of the flag's own type."""
    kind = type(FIELDS[name].default)
    if kind is str and not isinstance(node, ast.Constant):
        text = ast.unparse(node)
        return text if text == "none" else "|".join(str(call) for call in parse_sequence(text))
    try:
        value = {"true": True, "false": False}[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)
    except (ValueError, KeyError, TypeError):
        value = None
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise UserError(f"--{name} takes {words[kind]}, received '{ast.unparse(node)}'.")
    return value


def _example(name: str) -> str:
    return NUMBERS.get(type(FIELDS[name].default), "choice(a, b)")
