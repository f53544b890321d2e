import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.spec import Call, parse_call, parse_sequence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("none", []),
        ("flip", [Call("flip")]),
        ("pad_crop(4)|flip", [Call("pad_crop", (4,)), Call("flip")]),
        ("a|b(-1.5, mode='x')|c", [Call("a"), Call("b", (-1.5,), {"mode": "x"}), Call("c")]),
        ("choice(mixup(0.2), cutmix)", [Call("choice", (Call("mixup", (0.2,)), Call("cutmix")))]),
        ("crop(scale=(0.3, 1))", [Call("crop", (), {"scale": (0.3, 1)})]),
    ],
)
def test_parses(text, expected):
    assert parse_sequence(text) == expected


@pytest.mark.parametrize("text", ["pad_crop(4)|flip", "choice(mixup(0.2), cutmix)", "resnet20(width=32, name='a|b')"])
def test_text_of_a_call_parses_back(text):
    calls = parse_sequence(text)
    assert parse_sequence("|".join(str(call) for call in calls)) == calls


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "a.b(1)",
        "a()()",
        "a(1",
        "a(x=1, **y)",
        "a(*b)",
        "[a for a in b]",
        "a(1+1)",
        "__import__('os').system('x')",
        "(" * 3000,
    ],
)
def test_refuses_what_is_no_call(text):
    with pytest.raises(UserError, match="Expected names with literal arguments"):
        parse_sequence(text)


def test_one_call_where_one_is_wanted():
    assert parse_call("resnet20(width=32)") == Call("resnet20", (), {"width": 32})
    with pytest.raises(UserError, match="Expected one name"):
        parse_call("resnet20|resnet32")
