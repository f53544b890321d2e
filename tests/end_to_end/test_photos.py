"""`photos.flags`: what README offers for one's own pictures."""

import csv
import json

import pytest

from keras_imgcls.core import config as config_module
from keras_imgcls.core import options, phases
from keras_imgcls.core.config import TrainConfig


def recipe(name):
    return options.parse(TrainConfig, [f"--flagfile={name}", "--data_dir=photos"], "")


@pytest.mark.parametrize("name", ["photos.flags", "scratch.flags"])
def test_its_flags_are_known_and_in_their_ranges(name):
    config_module.check(recipe(name))


def test_the_head_comes_first_then_the_last_stages_then_all():
    config = recipe("photos.flags")
    plan = phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
    assert [phase.frozen for phase in plan] == ["features", "stage4", "none"]
    assert (config.pretrained, config.freeze_norm, config.max_minutes) == ("imagenet", True, 2.0)
    assert (config.resize, config.interpolation) == ("squash", "mediapipe"), "as phones do"


@pytest.mark.slow
def test_a_few_photos_are_learnt_from_imagenets_weights(flowers_run):
    """Chance is 20 %."""
    run, _ = flowers_run
    assert json.loads((run / "metrics.json").read_text())["validation"]["accuracy"] > 0.65
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [*range(1, 23)]
