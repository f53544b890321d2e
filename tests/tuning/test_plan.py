import dataclasses

import pytest

from keras_imgcls.core.config import TrainConfig, TuneConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning import plan

BASE = TuneConfig(dataset="digits", search="learning_rate=log(0.01, 1)")


def planned(**changes):
    return plan.make(dataclasses.replace(BASE, **changes))


def test_every_flag_of_train_is_one_of_tune():
    names = [field.name for field in dataclasses.fields(TuneConfig)]
    assert {field.name for field in dataclasses.fields(TrainConfig)} < set(names)
    assert len(set(names)) == len(names)


def test_all_trials_share_what_makes_them_comparable():
    found = planned(objective="log_loss", max_epochs=7, epochs=3, checkpoint_every="10m")
    assert (found.base.monitor, found.base.epochs, found.base.checkpoint_every) == ("val_loss", 7, "1epoch")


def test_what_auto_chose_is_settled_unless_it_is_searched():
    flags = vars(TrainConfig(dataset="digits")) | {
        "batch_size": 64,
        "mixed_precision": "mixed_bfloat16",
        "augment": "flip",
    }
    assert planned().settle(flags).base.batch_size == 64
    assert planned().settle(flags).base.augment == "standard"
    searched = planned(search="batch_size=choice(16, 32)").settle(flags)
    assert (searched.base.batch_size, searched.base.mixed_precision) == (0, "mixed_bfloat16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "acuracy"}, r"received 'acuracy'\. Did you mean 'accuracy'\?"),
        ({"objective": "int8_kb"}, "--objective is one of accuracy, balanced_accuracy, log_loss"),
        ({"objective": "accuracy, log_loss"}, "one or more of parameters, flops, int8_kb, latency_ms"),
        (
            {"objective": "accuracy, flops", "tuner": "bayesian"},
            "goes by one number: for a Pareto set give asha, random or grid",
        ),
        ({"max_minutes": 5.0}, "--time_budget bounds a search"),
        ({"early_stopping": 5}, "--tuner decides when one ends"),
        ({"search": "epochs=int(1, 9)"}, r"chooses the epochs itself: give --max_epochs"),
        ({"workers": 0}, "give --chief=PORT"),
        ({"chief": "1", "join": "a:1"}, "choose one"),
        ({"search": ""}, "What is to be searched"),
        ({"dataset": ""}, "No data"),
    ],
)
def test_contradictions_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        planned(**changes)


def test_models_above_a_limit_are_rejected():
    found = planned(max_params=1000, max_tflite_kb=50.0)
    assert found.needs_costs and not found.converts  # an estimate will mostly do
    assert planned(objective="accuracy, int8_kb").converts
    costs = {"parameters": 999, "flops": 10, "int8_kb": 49.0}
    assert found.rejection(costs) == ""
    assert found.rejection(costs | {"parameters": 1001}) == "rejected: 1,001 parameters, above --max_params=1000"
    assert found.rejection(costs | {"int8_kb": 51.0}) == "rejected: 51 KiB as int8, above --max_tflite_kb=50"
    assert not planned(max_flops=5).converts


def test_what_is_told_of_all_trials_is_not_searched():
    settled = {"batch_size": 64, "mixed_precision": "float32", "image_size": 8}
    one = planned(model="plain_cnn", max_epochs=7).settle(vars(BASE) | settled)
    assert one.shared() == "plain_cnn, 8 px, batches of 64, float32, 7 epochs at most"
    other = planned(search="batch_size=choice(16, 32); model=choice(resnet20, plain_cnn)").settle(vars(BASE) | settled)
    assert other.shared() == "8 px, float32, 20 epochs at most"


def test_differences_of_a_resume():
    stored = planned().config
    assert plan.differences(stored, TuneConfig()) == []
    assert plan.differences(stored, TuneConfig(max_trials=99, search="learning_rate = log(0.01, 1.0)")) == []
    assert plan.differences(stored, TuneConfig(tuner="grid", search="learning_rate=log(0.01, 2)")) == [
        "the space had learning_rate=log(0.01, 1.0)",
        "the space now has learning_rate=log(0.01, 2.0)",
        "--tuner was asha, is grid",
    ]
