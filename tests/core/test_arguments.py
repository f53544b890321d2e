"""What an annotation says of an argument is what a call is held against."""

from typing import Annotated

import pytest

from keras_imgcls.core.arguments import Choice, Number, Several, Whole, bind
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.spec import parse_call


def body(
    x: object,
    width: Annotated[int, Whole(1, 64)],
    rate: Annotated[float, Number(0, 0.5)] = 0.1,
    function: Annotated[str, Choice(("relu", "gelu"))] = "relu",
    widths: Annotated[tuple[int, int], Several(Whole(1, 64), 2)] = (8, 16),
    anything: object = None,
):
    """What is registered."""


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        ("body(1)", {"width": 1}),
        ("body(64, 0)", {"width": 64, "rate": 0}),
        ("body(width=2, rate=0.5, function='gelu')", {"width": 2, "rate": 0.5, "function": "gelu"}),
        ("body(2, function=gelu)", {"width": 2, "function": "gelu"}),
        ("body(2, widths=(1, 2), anything=[3])", {"width": 2, "widths": (1, 2), "anything": [3]}),
        ("body(2, widths=[1, 2])", {"width": 2, "widths": [1, 2]}),
    ],
)
def test_what_a_rule_allows_is_bound_by_name(spec, given):
    assert bind(body, parse_call(spec), hidden=1) == given


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("body", r"body needs a value for width; received 'body'\."),
        ("body(0)", r"body's width is a whole number from 1 to 64; received 0\."),
        ("body(65)", r"body's width is a whole number from 1 to 64; received 65\."),
        ("body(True)", r"body's width is a whole number from 1 to 64; received True\."),
        ("body(2.0)", r"body's width is a whole number from 1 to 64; received 2\.0\."),
        ("body('2')", r"body's width is a whole number from 1 to 64; received '2'\."),
        ("body(wide)", r"body's width is a whole number from 1 to 64; received 'wide'\."),
        ("body(2, 0.6)", r"body's rate is a number from 0 to 0\.5; received 0\.6\."),
        ("body(2, 1e999)", r"body's rate is a number from 0 to 0\.5; received inf\."),
        (
            "body(2, function='relo')",
            r"body's function is one of 'relu', 'gelu'; received 'relo'\. Did you mean 'relu'\?",
        ),
        ("body(2, function=3)", r"body's function is one of 'relu', 'gelu'; received 3\."),
        (
            "body(2, widths=(1, 2, 3))",
            r"widths is 2 values in brackets, each a whole number from 1 to 64; received \(1, 2, 3\)",
        ),
        (
            "body(2, widths=(1, 0))",
            r"widths is 2 values in brackets, each a whole number from 1 to 64; received \(1, 0\)",
        ),
        ("body(2, widths=8)", r"widths is 2 values in brackets, each a whole number from 1 to 64; received 8"),
    ],
)
def test_what_it_does_not_allow_is_told_with_it(spec, message):
    with pytest.raises(UserError, match=message):
        bind(body, parse_call(spec), hidden=1)
