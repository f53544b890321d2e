import pytest

from keras_imgcls.core import phases
from keras_imgcls.training import budget
from keras_imgcls.training import fit as fit_module
from keras_imgcls.training.budget import Cost, share_epochs
from tests.training.toy import make_config, make_feed, make_staged

PLAN = phases.parse("features|stage4", "11|16", 30)  # 10, 5 and 15 epochs
COSTS = [Cost(5.0, 0.1), Cost(3.0, 2.0), Cost(4.0, 4.0)]


def total(epochs):
    return sum(cost.of(number) for cost, number in zip(COSTS, epochs, strict=True))


def test_with_time_enough_nothing_changes():
    assert share_epochs(PLAN, COSTS, 1000.0) == [10, 5, 15]
    assert share_epochs(PLAN, COSTS, total([10, 5, 15]) + 1e-6) == [10, 5, 15]


@pytest.mark.parametrize("seconds", [20, 27, 40, 60, 80])
def test_the_budget_is_kept_and_used(seconds):
    epochs = share_epochs(PLAN, COSTS, seconds)
    assert epochs[0] == 10, "the head is cheap: it keeps its epochs"
    assert total(epochs) <= seconds + 1e-6
    spare = seconds - total(epochs)
    for number, cost in enumerate(COSTS):
        start = 0 if epochs[number] else cost.start
        assert epochs[number] == PLAN[number].epochs or spare < start + cost.epoch - 1e-6


def test_the_head_comes_first_then_the_last_stages_then_all():
    kept = [[number > 0 for number in share_epochs(PLAN, COSTS, seconds)] for seconds in (1, 5.2, 9, 12, 18.1, 30)]
    assert kept == [[True, False, False]] * 3 + [[True, True, False]] + [[True, True, True]] * 2


def test_the_last_stages_share_in_proportion():
    epochs = share_epochs(PLAN, COSTS, 6 + 7 + 6 + 32)  # half of the 64 s that their further epochs ask for
    assert epochs[1:] == [3, 8]


def test_a_dear_head_is_scaled_too():
    """Many pictures: a look at all of them takes most of the time."""
    costs = [Cost(50.0, 1.0), Cost(3.0, 200.0), Cost(4.0, 400.0)]
    assert share_epochs(PLAN, costs, 58.0) == [8, 0, 0]
    assert share_epochs(PLAN, costs, 1.0) == [1, 0, 0]


def test_one_phase_has_what_fits():
    plan = phases.parse("none", "0", 30)
    assert share_epochs(plan, [Cost(2.0, 5.0)], 33.0) == [6]
    assert share_epochs(plan, [Cost(2.0, 5.0)], 1.0) == [1]


def test_a_budget_becomes_flags():
    """Nothing is left to a clock: the flags repeat the run."""
    config = make_config(
        epochs=4000, freeze="features|stage1", unfreeze_epoch="3|2001", max_minutes=0.2, batch_size=8, feature_views=2
    )
    settled = fit_module.resolve(config, make_staged(), make_feed(), 10_000)
    assert settled.max_minutes == 0 and settled.feature_views == 2
    plan = phases.parse(settled.freeze, settled.unfreeze_epoch, settled.epochs)
    assert plan[0] == phases.Phase(0, 2, "features")
    assert 3 < settled.epochs < 4000


def test_inference_is_timed():
    assert budget.inference_speed(make_staged(), (4, 8, 8, 1), "float32") > 0
