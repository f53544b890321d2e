import dataclasses
import random
import re

import pytest

from keras_imgcls.core import config, options
from keras_imgcls.core.config import EvaluateConfig, PredictConfig, TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.options import option


def parse(*arguments):
    return options.parse(TrainConfig, arguments, "usage")


def test_defaults_where_nothing_is_said():
    assert parse() == TrainConfig()


def test_types_and_forms():
    received = parse(
        "--epochs=3", "--learning_rate", "0.5", "--deterministic", "--noresume", "--model=resnet20(width=8)"
    )
    assert received == TrainConfig(epochs=3, learning_rate=0.5, deterministic=True, model="resnet20(width=8)")


@pytest.mark.parametrize("order", [("--epochs=7", "--flagfile={}"), ("--flagfile={}", "--epochs=7")])
def test_command_line_wins_wherever_it_stands(tmp_path, order):
    flagfile = tmp_path / "my recipe.flags"
    flagfile.write_text("# a comment\n\n--epochs=3\n--seed=5\n")
    received = parse(*(part.format(flagfile) for part in order))
    assert (received.epochs, received.seed) == (7, 5)


def test_quotes_in_a_flagfile_are_stripped(tmp_path):
    flagfile = tmp_path / "a.flags"
    flagfile.write_text("--augment=\"pad_crop(2, mode='reflect')\"\n--data_dir='my photos'\n")
    received = parse(f"--flagfile={flagfile}")
    assert received.augment == "pad_crop(2, mode='reflect')"
    assert received.data_dir == "my photos"


def test_flagfiles_may_name_others_but_not_themselves(tmp_path):
    (tmp_path / "inner.flags").write_text("--epochs=3\n--seed=1\n")
    (tmp_path / "outer.flags").write_text("--flagfile=inner.flags\n--seed=2\n")
    received = parse(f"--flagfile={tmp_path}/outer.flags")
    assert (received.epochs, received.seed) == (3, 2)
    (tmp_path / "loop.flags").write_text("--flagfile=loop.flags\n")
    with pytest.raises(UserError, match="names itself"):
        parse(f"--flagfile={tmp_path}/loop.flags")


def test_flagfile_round_trip_of_any_value(tmp_path):
    alphabet = "ab0 '\"#=-|(),\\/é\t"
    draw = random.Random(0)
    for _ in range(200):
        text = "".join(draw.choices(alphabet, k=draw.randrange(8)))
        original = TrainConfig(
            data_dir=text, learning_rate=draw.random(), deterministic=draw.random() < 0.5, seed=draw.randrange(10**12)
        )
        flagfile = tmp_path / "a.flags"
        flagfile.write_text(options.write_flagfile(original))
        assert parse(f"--flagfile={flagfile}") == original


def test_stored_flags_leave_out_where_the_run_lies():
    text = options.write_flagfile(TrainConfig(run_dir="somewhere", resume=True))
    assert "--epochs=" in text
    assert not re.search("run_dir|--resume=|overwrite|dry_run", text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch=3"], "Unknown flag --epoch. Did you mean 'epochs'?"),
        (["--epochs=three"], "epochs"),
        (["--resize=crp"], "resize"),
        (["photos"], "Unexpected argument 'photos'"),
        (["--flagfile=cifra.flags"], "There is no flagfile 'cifra.flags'."),
    ],
)
def test_wrong_flags(arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "--epochs is at least 1; received 0."),
        ({"validation_fraction": 0.95}, "--validation_fraction is between 0.0 and 0.9; received 0.95."),
        ({"learning_rate": float("nan")}, "--learning_rate is at least 0.0; received nan."),
        ({"cache": "rma"}, "--cache is one of auto, none, ram, disk; received 'rma'. Did you mean 'ram'?"),
        ({"channels": 2}, "--channels is one of 0, 1, 3; received '2'."),
        ({"model": "resnt20"}, "Unknown model 'resnt20'. Did you mean 'resnet20'?"),
        ({"model": "resnet20(widht=3)"}, "resnet20 has no argument 'widht'. Did you mean 'width'?"),
        ({"optimizer": "sdg"}, "Unknown optimizer 'sdg'. Did you mean 'sgd'?"),
        ({"augment": "pad_corp(4)"}, "Unknown augmentation 'pad_corp'. Did you mean 'pad_crop'?"),
        ({"mix": "mixpu(0.2)"}, "Unknown mix 'mixpu'. Did you mean 'mixup'?"),
        ({"mix": "choice(mixup, 3)"}, "Expected a choice such as"),
        ({"dataset": "digit"}, "Unknown dataset 'digit'. Did you mean 'digits'?"),
        ({"dataset": ""}, "No data:"),
        ({"checkpoint_every": "0"}, "--checkpoint_every is N (steps), 10m (minutes) or 1epoch; received '0'."),
        ({"resume": True, "overwrite": True}, "choose one"),
        ({"pretrained": "imagnet"}, "or a .keras or .weights.h5 file; received 'imagnet'. Did you mean 'imagenet'?"),
        (
            {"pretrained": "imagenet", "init_from": "run"},
            "--pretrained and --init_from both give first weights: choose",
        ),
    ],
)
def test_values_out_of_range_and_names_misspelt(change, message):
    with pytest.raises(UserError, match=re.escape(message)):
        config.check(dataclasses.replace(TrainConfig(dataset="digits"), **change))


@pytest.mark.parametrize("config_class", [TrainConfig, EvaluateConfig, PredictConfig])
def test_help_shows_every_flag_once(config_class):
    with pytest.raises(options.HelpRequested) as caught:
        options.parse(config_class, ["--help"], "usage of the verb")
    text = str(caught.value)
    assert text.startswith("usage of the verb")
    for field in dataclasses.fields(config_class):
        assert len(re.findall(rf"^  --{field.name}=", text, re.MULTILINE)) == 1


def test_packaged_recipes_are_valid():
    recipes = sorted(options.RECIPES.glob("*.flags"))
    assert recipes
    for recipe in recipes:
        config.check(dataclasses.replace(parse(f"--flagfile={recipe.name}"), data_dir="photos"))


def test_a_new_knob_is_one_line():
    @dataclasses.dataclass(frozen=True)
    class Base:
        """Group one."""

        size: int = option(3, "A size.", low=1)

    @dataclasses.dataclass(frozen=True)
    class Child(Base):
        """Group two."""

        name: str = option("x", "A name.", choices=("x", "y"))

    assert options.parse(Child, ["--size=4", "--name=y"], "") == Child(4, "y")
    assert "Group one:\n  --size=3" in options.help_text(Child, "")
