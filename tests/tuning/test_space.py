import subprocess
import sys

import pytest

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning import grammar, space

BASE = TrainConfig(dataset="digits")
TEXT = """
# Two optimizers, each with a rate of its own.
optimizer=choice(sgd, adamw)
learning_rate=log(0.01, 3) when optimizer=sgd;  learning_rate=log(1e-4, 1e-2) when optimizer=adamw
momentum=uniform(0.8, 0.99) when optimizer=sgd
model=choice(resnet20, resnet20(width=32), "resnet32")
augment=choice(none, standard, pad_crop(4)|flip)
batch_size=log_int(16, 128, step=2)
"""


def parsed(text, base=BASE):
    return grammar.parse(text, base)


def test_every_kind_and_what_it_means():
    found = parsed(TEXT + "\nclass_weight=choice(none, balanced); epochs=int(5, 20, step=5)")
    assert [str(parameter) for parameter in found.parameters] == [
        "optimizer=choice(sgd, adamw)",
        "learning_rate=log(0.01, 3.0) when optimizer=sgd",
        "learning_rate=log(0.0001, 0.01) when optimizer=adamw",
        "momentum=uniform(0.8, 0.99) when optimizer=sgd",
        "model=choice(resnet20, resnet20(width=32), resnet32)",
        "augment=choice(none, standard, pad_crop(4)|flip)",
        "batch_size=log_int(16, 128, step=2)",
        "class_weight=choice(none, balanced)",
        "epochs=int(5, 20, step=5)",
    ]
    assert len({parameter.key for parameter in found.parameters}) == 9


def test_the_text_of_a_space_parses_back():
    found = parsed(TEXT)
    assert parsed(str(found)) == found
    assert parsed("; ".join(str(found).splitlines())) == found


RATES = """optimizer=choice(sgd, adamw)
learning_rate=log(0.01, 3) when optimizer=sgd
learning_rate=log(1e-4, 1e-2) when optimizer=adamw"""


def test_values_become_flags():
    found = parsed(RATES)
    config = found.config(BASE, {"optimizer": "adamw", "learning_rate when optimizer=adamw": 0.00123456789})
    assert (config.optimizer, config.learning_rate, config.momentum) == ("adamw", 0.0012346, BASE.momentum)
    values = {"optimizer": "sgd", "learning_rate when optimizer=sgd": 0.5}
    assert found.shown(values) == {"optimizer": "sgd", "learning_rate": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat=log(0.1, 1)", r"no flag --learning_rat to be searched\. Did you mean 'learning_rate'\?"),
        ("learning_rate=logg(0.1, 1)", r"received 'logg'\. Did you mean 'log'\?"),
        ("learning_rate=log(-1, 1)", "a logarithmic range begins above 0"),
        ("learning_rate=uniform(-1, 1)", r"--learning_rate is at least 0\.0; received -1\.0"),
        ("momentum=uniform(0.5, 2)", r"--momentum is between 0\.0 and 0\.9999; received 2\.0"),
        ("learning_rate=uniform(1, 0.1)", "with low below high"),
        ("learning_rate=int(1, 3)", r"--learning_rate takes uniform\(low, high\) or log\(low, high\), not int"),
        ("batch_size=uniform(1, 3)", r"--batch_size takes int\(low, high\) or log_int\(low, high\), not uniform"),
        ("batch_size=choice(16, 32.5)", r"--batch_size takes a whole number, received '32\.5'"),
        ("model=log(1, 2)", r"--model takes choice\(a, b\), not log|--model takes text, received '1'"),
        ("model=choice(resnet20, resnt20)", r"Unknown model 'resnt20'\. Did you mean 'resnet20'\?"),
        ("model=choice(resnet20, resnet20(widht=3))", r"no argument 'widht'\. Did you mean 'width'\?"),
        ("augment=choice(standard, pad_crop(4)|flap)", r"Unknown augmentation 'flap'\. Did you mean 'flip'\?"),
        ("class_weight=choice(none, balansed)", r"received 'balansed'\. Did you mean 'balanced'\?"),
        ("learning_rate=0.1", "expected a range or a choice"),
        ("learning_rate", "Expected a parameter such as"),
        ("learning_rate=log(0.1, 1", "can't be read"),
        ("learning_rate=log(0.1, 1, base=2)", r"each may have step="),
        ("learning_rate=log(0.1, 1, step=1)", "a factor above 1; received 1"),
        ("augment=choice(none, none)", "two values or more, all different"),
        ("seed=int(0, 5)", "--seed can't be searched"),
        ("run_dir=choice('a', 'b')", "--run_dir can't be searched"),
        ("momentum=uniform(0.8, 0.9) when optimizer=sgd", "optimizer is not searched above this line.* It is 'sgd' in all"),
        ("optimizer=choice(sgd, adamw); momentum=uniform(0.8, 0.9) when optimizer=sdg", r"never 'sdg'\. Did you mean 'sgd'"),
        ("batch_size=int(8, 16); momentum=uniform(0.8, 0.9) when batch_size=8", "a condition is on a choice"),
        ("momentum=uniform(0.8, 0.9); momentum=uniform(0.1, 0.2)", "searched twice"),
        ("model=choice(__import__('os').system('x'), b)", "Expected names with literal arguments"),
        ("# nothing", "The search space is empty"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text, message):
    with pytest.raises(UserError, match=message):
        parsed(text)


def test_files_here_and_packaged_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.search").write_text("momentum=uniform(0.8, 0.9)  # mine\n")
    assert str(parsed(space.read("mine.search"))) == "momentum=uniform(0.8, 0.9)"
    with pytest.raises(UserError, match=r"no search space 'rezipe.search'\. Did you mean 'recipe.search'"):
        space.read("rezipe.search")


@pytest.mark.parametrize("path", sorted(space.RECIPES.glob("*.search")), ids=lambda path: path.name)
def test_packaged_spaces_are_valid(path):
    assert len(parsed(space.read(path.name)).parameters) > 1


def test_a_space_is_checked_without_a_framework():
    code = (
        "import sys\n"
        "sys.modules.update(keras=None, tensorflow=None, keras_tuner=None, numpy=None)\n"
        "from keras_imgcls.core.config import TrainConfig\n"
        "from keras_imgcls.tuning import grammar\n"
        "grammar.parse('model=choice(resnet20, resnet20(width=32)); augment=choice(none, flip)', TrainConfig(dataset='digits'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
