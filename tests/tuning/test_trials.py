"""Trials and the search around them, with an executor that makes up its numbers: nothing is trained."""

import io
import math
import time

import pytest

from keras_imgcls.core.config import TuneConfig
from keras_imgcls.tuning import plan, search
from keras_imgcls.tuning.board import Board
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.journal import Journal, records
from keras_imgcls.tuning.trials import Trials

pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # keras-tuner's


class Made:
    """An executor: accuracy is learning rate times epoch, seed by seed a tenth more."""

    def __init__(self, accuracy=None, costs=None):
        self.accuracy = accuracy or (lambda flags, epoch: flags["learning_rate"] * epoch * (1 + flags["seed"] / 10))
        self.costs, self.jobs, self.at = costs, [], {}

    def run(self, job, answer=None):
        self.jobs.append(job)
        flags = job["flags"]
        if job["job"] == "cost":
            return self.costs(flags)
        until = job["until"]
        while self.at.get(flags["run_dir"], 0) < until:
            self.at[flags["run_dir"]] = epoch = self.at.get(flags["run_dir"], 0) + 1
            if epoch > job["known"]:
                until = answer(epoch, {"val_accuracy": self.accuracy(flags, epoch), "seconds": 1.0})
        return {"epoch": self.at[flags["run_dir"]]}

    def close(self):
        pass


def searched(tmp_path, executor, deadline=math.inf, **flags):
    given = {"search": "learning_rate=uniform(0.001, 0.01)", "tuner": "random", "max_trials": 4, "max_epochs": 4}
    ready = plan.make(TuneConfig(dataset="digits", **given | flags))
    folder = Folder(tmp_path / "found")
    folder.create(ready.config)
    oracle = search.oracle_of(ready, folder)
    trials = Trials(ready, 10, folder, Board(ready.objective, 4, 1, (), io.StringIO()), deadline)
    search.work(trials, [("w", oracle, executor)])
    return records(Journal(folder.journal).events())


def test_a_score_is_the_mean_over_executions_each_with_its_seed_and_run(tmp_path):
    executor = Made()
    for record in searched(tmp_path, executor, executions_per_trial=3, median_stopping=False):
        for epoch, row in record.epochs.items():
            assert row["val_accuracy"] == pytest.approx(round_of(record) * epoch * 1.1)
    names = {run.rpartition("/")[2] for run in executor.at}
    assert {"0000", "0000-2", "0000-3"} < names and len(names) == 12


def round_of(record):
    """The learning rate as it stands in the flags."""
    return float(f"{record.values['learning_rate']:.5g}")


def test_executions_follow_to_a_later_rung(tmp_path):
    executor = Made()
    found = searched(tmp_path, executor, tuner="asha", executions_per_trial=2, max_trials=3)
    assert sorted(max(record.epochs) for record in found) == [1, 1, 4]
    assert sorted(executor.at.values()) == [1, 1, 1, 1, 4, 4]


def test_a_rung_of_hyperband_goes_on_with_the_run_that_it_names(tmp_path):
    executor = Made()
    found = searched(tmp_path, executor, tuner="hyperband", max_trials=0, max_epochs=9)
    assert {record.name for record in found} == {run.rpartition("/")[2] for run in executor.at}
    assert all(
        executor.at[run] == max(record.epochs) for record in found for run in executor.at if run.endswith(record.name)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_fails_its_trial_alone(tmp_path, bad):
    def accuracy(flags, epoch):
        return bad if flags["run_dir"].endswith("0001") and epoch == 2 else 0.5

    found = searched(tmp_path, Made(accuracy), median_stopping=False)
    assert [record.status for record in found] == ["ended", "failed", "ended", "ended"]
    assert found[1].reason == f"val_accuracy became {bad} in epoch 2"


def test_costs_are_asked_once_an_architecture_and_reject_before_training(tmp_path):
    executor = Made(costs=lambda flags: {"parameters": 100 if "20" in flags["model"] else 9000, "flops": 1})
    space = "model=choice(resnet20, resnet32, resnet44); learning_rate=uniform(0.001, 0.01)"
    found = searched(tmp_path, executor, search=space, max_params=1000, max_trials=12, max_epochs=1)
    costs = [job["flags"]["model"] for job in executor.jobs if job["job"] == "cost"]
    trained = {job["flags"]["model"] for job in executor.jobs if job["job"] == "train"}
    assert sorted(costs) == ["resnet20", "resnet32", "resnet44"]
    assert trained == {"resnet20"}
    rejected = "rejected: 9,000 parameters, above --max_params=1000"
    assert {(record.values["model"], record.reason) for record in found} == {
        ("resnet20", ""), ("resnet32", rejected), ("resnet44", rejected),
    }  # fmt: skip


def test_when_time_is_over_the_trial_in_hand_is_left_to_a_resume(tmp_path):
    def accuracy(flags, epoch):
        time.sleep(0.2)
        return 0.5

    found = searched(tmp_path, Made(accuracy), deadline=time.monotonic() + 0.5)
    assert [record.status for record in found] == ["running"]
    assert 1 <= max(found[0].epochs) < 4


def test_a_search_whose_first_trials_all_fail_is_given_up(tmp_path, capsys):
    found = searched(tmp_path, Made(lambda flags, epoch: math.nan), max_trials=20)
    assert [record.status for record in found] == ["failed"] * search.FAILURES
    assert "The first 5 trials all failed" in capsys.readouterr().out


def test_what_serves_others_is_told_when_time_is_over_and_its_errors_are_raised(tmp_path):
    def serve():
        raise KeyError("port")

    trials = Trials(
        plan.make(TuneConfig(dataset="digits", search="momentum=uniform(0.1, 0.9)")), 10, None, None, math.inf
    )
    with pytest.raises(KeyError, match="port"):
        search.work(trials, [], serve)
    trials.stop.clear()
    trials.deadline = time.monotonic() + 0.2
    search.work(trials, [], trials.stop.wait)
    assert trials.stop.is_set()
