import re

import pytest

from keras_imgcls.core import phases
from keras_imgcls.core.config import TrainConfig, check
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.phases import Phase


@pytest.mark.parametrize(
    ("freeze", "unfreeze_epoch", "expected"),
    [
        ("none", "0", [Phase(0, 20, "none")]),
        ("none", "7", [Phase(0, 20, "none")]),
        ("features", "0", [Phase(0, 20, "features")]),
        ("stem", "6", [Phase(0, 5, "stem"), Phase(5, 20, "none")]),
        ("stem", "1", [Phase(0, 20, "none")]),
        ("features", "99", [Phase(0, 20, "features")]),
        (
            "features|stage4",
            "11|16",
            [Phase(0, 10, "features"), Phase(10, 15, "stage4"), Phase(15, 20, "none")],
        ),
        ("features | stage4", "11 | 0", [Phase(0, 10, "features"), Phase(10, 20, "stage4")]),
        ("features|stage4", "11|30", [Phase(0, 10, "features"), Phase(10, 20, "stage4")]),
    ],
)
def test_flags_say_phases(freeze, unfreeze_epoch, expected):
    assert phases.parse(freeze, unfreeze_epoch, 20) == expected


@pytest.mark.parametrize("flags", [("none", "0"), ("stem", "0"), ("stem", "6"), ("features|stage4", "3|16")])
def test_phases_say_the_flags_again(flags):
    plan = phases.parse(*flags, 20)
    assert phases.write(plan) == {"freeze": flags[0], "unfreeze_epoch": flags[1], "epochs": 20}


@pytest.mark.parametrize("epochs", [(1, 2, 3), (4, 0, 2), (5, 6, 0), (0, 0, 1), (3, 0, 0)])
def test_other_epochs_for_the_same_phases(epochs):
    plan = phases.with_epochs(phases.parse("features|stage4", "11|16", 20), epochs)
    assert [phase.epochs for phase in plan] == [number for number in epochs if number]
    written = phases.write(plan)
    assert phases.parse(written["freeze"], written["unfreeze_epoch"], written["epochs"]) == plan


@pytest.mark.parametrize(
    ("freeze", "unfreeze_epoch", "message"),
    [
        ("feature", "0", "received 'feature'. Did you mean 'features'?"),
        ("stage", "0", "--freeze is none, stem, stage1, stage2 … or features; received 'stage'."),
        ("features|stage4", "11", "one epoch for each landmark of --freeze: 2 expected, received '11'"),
        ("stem", "soon", "--unfreeze_epoch is an epoch, or several with bars between them; received 'soon'."),
        ("features|stage4", "16|11", "growing epochs, and 0 (never) only at the end; received '16|11'"),
        ("features|stage4", "0|11", "growing epochs"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(freeze, unfreeze_epoch, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check(TrainConfig(dataset="digits", freeze=freeze, unfreeze_epoch=unfreeze_epoch))
