"""Flags that are arguments of a model say the same as its spec, or why not."""

import pytest

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.model_arguments import FLAGS, settle_model


def config(**values):
    return TrainConfig(dataset="digits", **values)


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({"model": "vgg16"}, "vgg16"),
        ({"model": "vgg16", "dropout": 0.2}, "vgg16(dropout=0.2)"),
        ({"model": "vgg16", "dropout": 0.0, "stem": "small"}, "vgg16(stem='small', dropout=0.0)"),
        ({"model": "resnet18(width=32)", "squeeze_excite": 16}, "resnet18(width=32, squeeze_excite=16)"),
        ({"model": "resnet18(32)", "stochastic_depth": 0.1}, "resnet18(32, stochastic_depth=0.1)"),
        ({"model": "alexnet(stem=small)", "stem": "small"}, "alexnet(stem=small)"),
        ({"model": "alexnet(1, 0, 0.5)", "dropout": 0.5}, "alexnet(1, 0, 0.5)"),
    ],
)
def test_they_become_arguments_and_settle_once(values, model):
    settled = settle_model(config(**values))
    assert settled == config(model=model)
    assert settle_model(settled) == settled


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "vgg16", "stochastic_depth": 0.1},
            "vgg16 has no stochastic_depth, so --stochastic_depth can't set it",
        ),
        (
            {"model": "resnet20", "stem": "small"},
            "It takes: width, version, squeeze_excite, stochastic_depth, dropout.",
        ),
        (
            {"model": "vgg16(dropout=0.5)", "dropout": 0.2},
            r"--model=vgg16\(dropout=0.5\) and --dropout=0.2 say two things",
        ),
        ({"model": "alexnet(1, 0, 0.5)", "dropout": 0.2}, "say two things: give one"),
        ({"model": "alexnet(stem=small)", "stem": "imagenet"}, "say two things: give one"),
    ],
)
def test_what_they_can_not_say_is_answered_before_anything_is_built(values, message):
    with pytest.raises(UserError, match=message):
        config_module.check(config(**values))


def test_a_resumed_run_may_be_told_again_what_it_was_told():
    stored = settle_model(config(model="resnet18", dropout=0.1, stem="small"))
    assert config_module.differences(stored, config(model="resnet18", dropout=0.1, stem="small")) == []
    assert config_module.differences(stored, config(stem="small")) == []
    with pytest.raises(UserError, match="--dropout=0.2 say two things"):
        config_module.differences(stored, config(dropout=0.2))


def test_each_is_a_flag_and_an_argument_of_some_model():
    assert set(FLAGS) <= set(TrainConfig.__dataclass_fields__)
