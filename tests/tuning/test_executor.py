"""The executor, with a worker that speaks the protocol and does what a job tells it."""

import sys

import pytest

from keras_imgcls.core.errors import CannotWrite
from keras_imgcls.tuning.executor import LocalExecutor, TrialFailed

WORKER = """
import json, os, sys
memory = 100
while True:
    job = json.loads(sys.stdin.readline() or os._exit(3))
    if job.get("die"):
        os.kill(os.getpid(), job["die"])
    if "exit" in job:
        open(job["log"], "w").write("Traceback\\nlast words\\n")
        os._exit(job["exit"])
    answers = []
    for epoch in range(1, job.get("epochs", 0) + 1):
        print(json.dumps({"epoch": epoch, "metrics": {"val_accuracy": epoch / 10}}), flush=True)
        answers.append(json.loads(sys.stdin.readline())["until"])
    memory += job.get("grow", 0)
    word = {key: job[key] for key in ("failed", "unwritten") if key in job} or {"done": {"pid": os.getpid(), "answers": answers}}
    print(json.dumps({**word, "memory": memory}), flush=True)
"""


@pytest.fixture
def executor():
    made = LocalExecutor()
    made.command = (sys.executable, "-c", WORKER)
    yield made
    made.close()


def job(model="a", **more):
    return {"job": "train", "flags": {"model": model, "image_size": 8}, "log": "", **more}


def test_a_worker_is_kept_while_the_architecture_is_the_same(executor):
    pids = [executor.run(job(model))["pid"] for model in ("a", "a", "b", "b", "a")]
    assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]
    assert executor.started == 3


def test_a_worker_is_replaced_when_its_memory_has_grown(executor):
    pids = [executor.run(job(grow=grow))["pid"] for grow in (0, 40, 40, 0)]
    assert len(set(pids)) == 2  # 100, 140, 180: above half as much again; then a new one
    assert pids[2] != pids[3]


def test_a_full_disk_is_no_failure_of_the_trial(executor):
    with pytest.raises(CannotWrite, match="no room"):
        executor.run(job(failed="no room", unwritten=True))


def test_every_epoch_is_answered(executor):
    heard = []

    def answer(epoch, metrics):
        heard.append((epoch, metrics["val_accuracy"]))
        return epoch + 5

    assert executor.run(job(epochs=3), answer)["answers"] == [6, 7, 8]
    assert heard == [(1, 0.1), (2, 0.2), (3, 0.3)]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"failed": "the loss became nan"}, "the loss became nan"),
        (
            {"die": 9},
            r"the worker was killed by the kernel or a user \(signal 9\), most likely out of memory: fewer --workers",
        ),
        ({"die": 11}, "the worker died of SIGSEGV"),
        ({"exit": 7}, "the worker ended with exit code 7: last words"),
    ],
)
def test_a_death_is_told_and_the_next_job_has_a_new_worker(executor, tmp_path, what, reason):
    with pytest.raises(TrialFailed, match=reason):
        executor.run(job(**what) | {"log": str(tmp_path / "log")})
    assert executor.run(job())["answers"] == []


def test_an_answer_that_fails_ends_the_worker(executor):
    with pytest.raises(ZeroDivisionError):
        executor.run(job(epochs=2), lambda epoch, metrics: 1 // 0)
    assert executor.run(job(epochs=1), lambda epoch, metrics: 1)["answers"] == [1]
