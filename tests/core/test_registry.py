import re

import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS, SCHEDULES, Registry
from keras_imgcls.core.spec import parse_call


@pytest.fixture
def registry():
    empty = Registry("THINGS", "thing", "core")

    @empty.register(size=3)
    def bread(x, slices=4, *, crust=True):
        """Bread, in slices."""
        return x, slices, crust

    return empty


def test_registered_functions_are_found_with_traits_and_summary(registry):
    assert registry.names() == ["bread"]
    assert registry.get("bread")(1) == (1, 4, True)
    assert registry.traits("bread") == {"size": 3}
    assert registry.summary("bread") == "Bread, in slices."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("braed", "Unknown thing 'braed'. Did you mean 'bread'? Known: bread."),
        ("bread(slice=3)", "bread has no argument 'slice'. Did you mean 'slices'? It takes: slices, crust."),
        ("bread(1, slices=2)", "bread received 'slices' twice: 'bread(1, slices=2)'."),
        ("bread(1, True, 3)", "bread takes 2 arguments (slices, crust), received 'bread(1, True, 3)'."),
    ],
)
def test_calls_are_checked(registry, text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        registry.check(parse_call(text))


def test_the_hidden_argument_is_the_callers(registry):
    with pytest.raises(UserError, match="bread has no argument 'x'"):
        registry.check(parse_call("bread(x=3)"))


def test_a_name_is_taken_once(registry):
    def bread(x):
        return x

    bread.__module__ = "another.module"
    with pytest.raises(ValueError, match="'bread' is registered already"):
        registry.register(bread)


@pytest.mark.parametrize("registry", [MODELS, SCHEDULES], ids=lambda registry: registry.noun)
def test_names_read_from_the_source_are_those_that_an_import_registers(registry):
    for name in registry.names():
        assert registry.get(name).__name__ == name
    assert set(registry.names()) == set(registry._registered)
