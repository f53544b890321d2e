"""Spec strings: `"pad_crop(4)|flip"` and `"resnet20(width=32)"`, parsed with `ast` and never evaluated."""

import ast
from dataclasses import dataclass, field
from typing import Any

from keras_imgcls.core.errors import UserError


@dataclass(frozen=True)
class Call:
    """A name with literal arguments, such as `pad_crop(4, mode="reflect")`. Arguments may be calls themselves."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        arguments = [_text(value) for value in self.args]
        arguments += [f"{name}={_text(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name


def parse_call(text: str) -> Call:
    """The single call in `text`.

    Raises:
        UserError: `text` is no name with literal arguments.
    """
    calls = parse_sequence(text)
    if len(calls) != 1:
        raise UserError(f"Expected one name such as 'resnet20' or 'resnet20(width=32)', received '{text}'.")
    return calls[0]


def parse_sequence(text: str) -> list[Call]:
    """The calls in `text`, separated by `|`; none for an empty string or `none`.

    Raises:
        UserError: a part is no name with literal arguments.
    """
    if text.strip() in ("", "none"):
        return []
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return [_call(node, text) for node in _parts(tree)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _malformed(text) from error


def parse_choice(text: str) -> list[Call]:
    """The calls in `choice(a, b)`, of which one is taken at a time; a single call is a choice of one.

    Raises:
        UserError: `text` is no call, or a choice of something else than calls.
    """
    call = parse_call(text)
    if call.name != "choice":
        return [call]
    if not call.args or call.kwargs or not all(isinstance(part, Call) for part in call.args):
        raise UserError(f"Expected a choice such as 'choice(mixup(0.2), cutmix(1.0))', received '{text}'.")
    return list(call.args)


def _parts(node: ast.expr) -> list[ast.expr]:
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


def _call(node: ast.expr, text: str) -> Call:
    if isinstance(node, ast.Name):
        return Call(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(word.arg for word in node.keywords):
        args = tuple(_value(argument, text) for argument in node.args)
        return Call(node.func.id, args, {word.arg: _value(word.value, text) for word in node.keywords})
    raise _malformed(text)


def _value(node: ast.expr, text: str) -> Any:
    if isinstance(node, (ast.Name, ast.Call)):
        return _call(node, text)
    return ast.literal_eval(node)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, Call) else repr(value)


def _malformed(text: str) -> UserError:
    return UserError(f"Expected names with literal arguments such as 'pad_crop(4)|flip', received '{text}'.")
