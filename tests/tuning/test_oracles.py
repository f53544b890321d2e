"""Oracles on a made-up landscape: what they choose, what a replayed journal brings back, that memory is flat."""

import itertools
import math
import os
import resource

import pytest

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.tuning import grammar, objective, oracles
from keras_imgcls.tuning.asha import rungs
from keras_imgcls.tuning.journal import records
from keras_imgcls.tuning.objective import fronts

TEXT = """
optimizer=choice(sgd, adamw)
learning_rate=log(0.001, 1)
momentum=uniform(0.5, 0.95, step=0.05) when optimizer=sgd
batch_size=choice(16, 32, 64)
"""
SPACE = grammar.parse(TEXT, TrainConfig(dataset="digits"))
EPOCHS = 9
pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # keras-tuner's


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def make(folder, tuner="asha", max_trials=9, goal="accuracy", seed=0):
    return oracles.make(
        tuner, SPACE, objective.parse(goal), folder, max_trials=max_trials, max_epochs=EPOCHS, seed=seed
    )


def curve(values, epoch):
    """Accuracy by epoch: the better the closer the learning rate is to 0.1."""
    return math.exp(-abs(math.log10(values["learning_rate"] / 0.1))) * epoch / (epoch + 2)


def step(oracle, worker="w", fail=(), costs=None):
    """Trains one trial as a worker would; False where there is none."""
    trial = oracle.create_trial(worker)
    if trial.status != "RUNNING":
        return False
    values = trial.hyperparameters.values
    epoch = heard(trial)
    while epoch < values.get("tuner/epochs", EPOCHS):
        epoch += 1
        metrics = {"val_accuracy": curve(values, epoch), **(costs(values) if costs else {})}
        if oracle.update_trial(trial.trial_id, metrics, step=epoch).status == "STOPPED":
            break
    trial.status = "FAILED" if trial.trial_id in fail else "COMPLETED"
    trial.message = "broken" if trial.trial_id in fail else None
    oracle.end_trial(trial)
    return True


def heard(trial):
    """The last epoch that the oracle knows."""
    seen = trial.metrics.get_history("val_accuracy") if trial.metrics.exists("val_accuracy") else []
    return max([trial.hyperparameters.values.get("tuner/initial_epoch", 0), *(one.step for one in seen)])


def run(oracle, **options):
    for _ in itertools.takewhile(bool, (step(oracle, **options) for _ in range(500))):
        pass
    return records(oracle.journal.events())


def test_asha_trains_few_to_the_end_and_the_best_among_them(tmp_path):
    found = run(make(tmp_path))
    assert len(found) == 9
    lengths = sorted(max(record.epochs) for record in found)
    assert lengths.count(9) >= 1
    assert sum(lengths) < 9 * EPOCHS / 2
    whole = max(found, key=lambda record: curve(record.values, EPOCHS))
    assert max(whole.epochs) == EPOCHS


def test_rungs_are_three_times_apart():
    assert [rungs(epochs) for epochs in (1, 2, 4, 12, 20, 27, 200)] == [
        [1], [2], [1, 4], [1, 4, 12], [2, 6, 20], [1, 3, 9, 27], [7, 22, 66, 200],
    ]  # fmt: skip


def test_asha_reports_every_epoch_once(tmp_path):
    for record in run(make(tmp_path)):
        assert list(record.epochs) == list(range(1, max(record.epochs) + 1))
    events = [e for e in make(tmp_path).journal.events() if e["event"] == "epoch"]
    assert len({(e["trial"], e["epoch"]) for e in events}) == len(events)


def test_asha_brings_one_trial_to_the_end_even_where_a_third_is_nobody(tmp_path):
    found = run(make(tmp_path, max_trials=2))
    assert max(max(record.epochs) for record in found) == EPOCHS


def test_asha_goes_on_when_the_leader_fails(tmp_path):
    first = run(make(tmp_path / "first"))
    leader = max(first, key=lambda record: max(record.epochs)).name
    found = run(make(tmp_path / "second"), fail={leader})
    assert [(r.status, r.reason) for r in found if r.name == leader] == [("failed", "broken")]
    assert max(max(r.epochs) for r in found if r.name != leader) == EPOCHS


def test_asha_by_fronts_keeps_the_cheap_ones_too(tmp_path):
    """With a cost, a rung's best third holds the cheapest trial, however bad it is."""
    oracle = make(tmp_path, goal="accuracy, parameters", max_trials=12)
    found = run(oracle, costs=lambda values: {"parameters": float(values["batch_size"])})
    fronted = fronts(list(oracle._rungs[0].values()))
    promoted = [oracle._aims[name] > 0 for name in oracle._rungs[0]]
    assert all(front == 0 for front, up in zip(fronted, promoted, strict=True) if up) or sum(promoted) > fronted.count(
        0
    )
    assert len(found) == 12


@pytest.mark.parametrize("tuner", ["random", "bayesian"])
def test_the_median_rule_stops_what_is_hopeless(tmp_path, tuner):
    found = run(make(tmp_path, tuner, max_trials=8))
    lengths = {record.name: max(record.epochs) for record in found}
    assert len(found) == 8
    assert min(lengths.values()) < EPOCHS
    best = max(found, key=lambda record: curve(record.values, EPOCHS))
    assert lengths[best.name] == EPOCHS


def test_hyperband_continues_runs_and_every_epoch_counts_once(tmp_path):
    oracle = make(tmp_path, "hyperband", max_trials=0)
    found = run(oracle)
    assert len(found) < len(oracle.trials)  # trials of higher rungs are part of those that they continue
    assert {max(record.epochs) for record in found} == {1, 3, 9}


@pytest.mark.parametrize("tuner", ["asha", "random", "grid", "bayesian", "hyperband"])
def test_a_replayed_journal_goes_on_as_if_nothing_had_been(tmp_path, tuner):
    """Cut anywhere, in the middle of a trial too: the same trials with the same values, none lost, none repeated."""
    whole = run(make(tmp_path / "whole", tuner, max_trials=8))
    (tmp_path / "cut").mkdir()
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for at in (1, len(lines) // 3, len(lines) // 2, len(lines) - 1):
        (tmp_path / "cut" / "journal.jsonl").write_bytes(b"".join(lines[:at]) + b'{"event": "ep')
        oracle = make(tmp_path / "cut", tuner, max_trials=8)
        oracle.journal.repair()
        oracle.replay(oracle.journal.events())
        oracle.open_session()
        assert run(oracle) == whole


def test_no_two_workers_get_one_trial(tmp_path):
    oracle = make(tmp_path, "random", max_trials=4)
    trials = [oracle.create_trial(name) for name in "abcd"]
    assert len({trial.trial_id for trial in trials}) == 4
    assert oracle.create_trial("e").status == "IDLE"
    assert oracle.create_trial("a").trial_id == trials[0].trial_id


def test_fifty_trials_leave_memory_flat(tmp_path):
    oracle = make(tmp_path, "random", max_trials=60)
    for _ in range(10):
        step(oracle)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(50):
        assert step(oracle)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB


def test_conditions_hold_in_every_trial(tmp_path):
    for record in run(make(tmp_path, "random", max_trials=20)):
        assert ("momentum" in record.values) == (record.values["optimizer"] == "sgd")


def test_fronts():
    assert fronts([(1, 1), (2, 0), (0, 0), (1, 1), (0, 3)]) == [0, 0, 1, 0, 0]
    assert fronts([(3,), (1,), (2,)]) == [0, 2, 1]
    assert fronts([]) == []
