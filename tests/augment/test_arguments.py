"""Arguments of a plugin's operation: checked where it says what it takes, left alone where it does not."""

from typing import Annotated

import pytest

from keras_imgcls.augment.arguments import Number, bind
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.spec import parse_call


def noise(images, draws, strength: Annotated[float, Number(0, 64)], shape="gauss"):
    return images


def test_arguments_are_bound_by_place_and_by_name():
    assert bind(noise, parse_call("noise(3, shape='box')")) == {"strength": 3, "shape": "box"}
    assert bind(noise, parse_call("noise(strength=0.5)")) == {"strength": 0.5}


def test_a_missing_argument_is_named():
    with pytest.raises(UserError, match="noise needs a value for strength; received 'noise'"):
        bind(noise, parse_call("noise"))


@pytest.mark.parametrize("value", ["-1", "65", "None", "(1, 2)", "True"])
def test_a_value_out_of_range_is_refused(value):
    with pytest.raises(UserError, match=r"noise's strength is a number from 0 to 64; received "):
        bind(noise, parse_call(f"noise({value})"))
