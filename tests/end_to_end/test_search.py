"""Searches of the real command line: what they leave, and that crashes, kills and mistakes cost nothing but what they hit."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_imgcls.core.run import open_run
from keras_imgcls.tuning.journal import Journal

ROOT = Path(__file__).parents[2]
TINY = [
    "--dataset=digits", "--fraction=0.2", "--augment=none", "--model=plain_cnn(width=4)", "--optimizer=adamw", "--batch_size=32",
    "--mixed_precision=float32", "--deterministic", "--cache=none",
]  # fmt: skip
RATE = "--search=learning_rate=log(1e-4, 3e-2)"
# Models that fail in every way there is.
PLUGIN = """
import os
import keras
import keras_imgcls

@keras_imgcls.register_model
def good(x):
    return keras.layers.Conv2D(4, 3, name="stage1")(x)

@keras_imgcls.register_model
def broken(x):
    raise RuntimeError("this body is broken\\nand more")

@keras_imgcls.register_model
def killed(x):
    os.kill(os.getpid(), 9)

@keras_imgcls.register_model
def greedy(x):
    import numpy
    numpy.empty(2**62, "uint8")

@keras_imgcls.register_model
def dead(x):
    os._exit(7)
"""


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "trials.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def begun(folder: Path) -> list[str]:
    return [event["trial"] for event in Journal(folder / "journal.jsonl").events() if event["event"] == "begin"]


def reports(folder: Path) -> list[tuple[str, int]]:
    return [(e["trial"], e["epoch"]) for e in Journal(folder / "journal.jsonl").events() if e["event"] == "epoch"]


def weights(run: Path) -> list[np.ndarray]:
    return keras.models.load_model(run / "model.keras").get_weights()


@pytest.fixture(scope="module")
def searched(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    finished = command("tune", *TINY, RATE, "--max_epochs=4", "--max_trials=4", "--run_dir=found", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "found", finished.stdout


def test_a_search_leaves_a_best_run_and_its_flags(searched, command):
    """What was scored is what is kept: the best epoch of the best trial, and only that trial has seen the test split."""
    folder, printed = searched
    rows = table(folder)
    assert [row["trial"] for row in rows] == ["0000", "0001", "0002", "0003"]
    best = max(rows, key=lambda row: float(row["accuracy"]))
    assert (folder / "best").resolve() == folder / "trials" / best["trial"]
    metrics = open_run(folder / "best").read_metrics()
    assert metrics["validation"]["accuracy"] == pytest.approx(float(best["accuracy"]))
    assert [path.parent.name for path in folder.glob("trials/*/metrics.json")] == [best["trial"]]
    assert "looked at once" in printed
    assert not folder.joinpath("search.html").read_text().count("http")
    assert list(folder.glob("tensorboard/0000/events.*"))
    dry = command("train", "--flagfile=found/best.flags", "--dry_run", cwd=folder.parent)
    assert dry.returncode == 0, dry.stderr


def test_a_trial_that_paused_at_rungs_is_bit_for_bit_one_that_did_not(searched, command):
    """ASHA's winner was trained in legs, by processes that had trained others before; `bin/train` does it in one go."""
    folder, _ = searched
    (last,) = [row for row in table(folder) if row["epochs"] == "4"][:1]
    whole = command(
        "train",
        f"--flagfile=found/trials/{last['trial']}/config.flags",
        f"--run_dir=whole{last['trial']}",
        cwd=folder.parent,
    )
    assert whole.returncode == 0, whole.stderr
    for one, other in zip(
        weights(folder / "trials" / last["trial"]), weights(folder.parent / f"whole{last['trial']}"), strict=True
    ):
        assert np.array_equal(one, other)


def test_another_space_in_an_old_folder_is_refused(searched, command):
    folder, _ = searched
    again = command("tune", *TINY, RATE, "--run_dir=found", cwd=folder.parent)
    assert again.returncode == 1
    assert "found holds a search: go on with --resume" in again.stderr
    other = command("tune", "--run_dir=found", "--resume", "--search=learning_rate=log(1e-4, 1)", cwd=folder.parent)
    assert other.returncode == 1
    assert (
        "the space had learning_rate=log(0.0001, 0.03); the space now has learning_rate=log(0.0001, 1.0)"
        in other.stderr
    )


def test_mistakes_are_answered_before_a_framework_is_imported(command, tmp_path):
    finished = command("tune", *TINY, "--search=learning_rat=log(1e-4, 1)", cwd=tmp_path, TF_CPP_MIN_LOG_LEVEL="0")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: train has no flag --learning_rat")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_finished_search_goes_on_with_more_trials(searched, command):
    folder, _ = searched
    before = begun(folder)
    more = command("tune", "--run_dir=found", "--resume", "--max_trials=5", cwd=folder.parent)
    assert more.returncode == 0, more.stderr
    assert len(table(folder)) == 5
    assert begun(folder)[: len(before)] == before
    assert set(begun(folder)[len(before) :]) - set(before) == {"0004"}


@pytest.mark.slow
def test_a_refit_trains_the_best_flags_on_the_validation_images_too(searched, command):
    folder, _ = searched
    finished = command("tune", "--run_dir=found", "--refit", cwd=folder.parent)
    assert finished.returncode == 0, finished.stderr
    best, refit = open_run(folder / "best"), open_run(folder / "refit")
    changed = {name for name, value in vars(best.config).items() if vars(refit.config)[name] != value}
    assert changed <= {"validation_fraction", "run_dir", "resume", "overwrite"}
    splits = [{row["split"] for row in csv.DictReader(run.manifest.read_text().splitlines())} for run in (best, refit)]
    assert splits == [{"train", "validation", "test"}, {"train", "test"}]


@pytest.mark.slow
def test_every_way_to_fail_is_a_trial_with_its_reason(command, tmp_path):
    (tmp_path / "failing.py").write_text(PLUGIN)
    space = "--search=model=choice(good, broken, killed, greedy, dead); learning_rate=choice(0.01, 1e30)"
    arguments = [*TINY, space, "--plugin=failing", "--model=good", "--tuner=grid", "--max_epochs=1", "--max_trials=0"]
    finished = command("tune", *arguments, "--optimizer=sgd", "--schedule=constant", "--run_dir=found", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    rows = table(tmp_path / "found")
    reasons = {(row["model"], row["learning_rate"]): row["reason"] for row in rows}
    assert len(reasons) == 10
    assert reasons["good", "0.01"] == ""
    assert "The loss became" in reasons["good", "1e+30"]
    assert reasons["broken", "0.01"] == "RuntimeError: this body is broken"
    assert "most likely out of memory" in reasons["killed", "0.01"]
    assert reasons["greedy", "0.01"].startswith("out of memory: Unable to allocate 4.00 EiB")
    assert reasons["dead", "0.01"].startswith("the worker ended with exit code 7")
    assert (tmp_path / "found" / "best").resolve().name == next(row["trial"] for row in rows if not row["reason"])


@pytest.mark.slow
def test_a_search_in_which_all_trials_fail_fails(command, tmp_path):
    (tmp_path / "failing.py").write_text(PLUGIN)
    space = "--search=model=choice(broken, greedy); learning_rate=choice(0.1, 0.2, 0.3, 0.4)"
    finished = command(
        "tune", *TINY, space, "--plugin=failing", "--max_epochs=1", "--tuner=random", "--run_dir=found", cwd=tmp_path
    )
    assert finished.returncode == 1
    assert "error: " in finished.stderr
    assert "this body is broken" in finished.stderr


@pytest.mark.slow
def test_a_killed_search_repeats_no_trial_and_loses_none(command, tmp_path):
    """SIGKILL in mid-trial, keras-tuner's files cut in half, the journal's last line torn: it ends as if nothing had been."""
    arguments = [*TINY, RATE, "--max_epochs=4", "--max_trials=4"]
    whole = command("tune", *arguments, "--run_dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    start = [sys.executable, "-m", "keras_imgcls", "tune", *arguments, "--run_dir=killed"]
    process = subprocess.Popen(
        start, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    killed = tmp_path / "killed"
    while process.poll() is None and len(reports(killed)) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in (*killed.glob("keras_tuner/*.json"), *killed.glob("keras_tuner/trial_*/trial.json")):
        path.write_text(path.read_text()[: path.stat().st_size // 2])
    with open(killed / "journal.jsonl", "a") as file:
        file.write('{"event": "epo')
    resumed = command("tune", "--run_dir=killed", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    without_clock = [
        [{n: v for n, v in row.items() if n != "seconds"} for row in table(tmp_path / name)]
        for name in ("whole", "killed")
    ]
    assert without_clock[0] == without_clock[1]
    assert sorted(reports(killed)) == sorted(reports(tmp_path / "whole"))
    for path in killed.glob("keras_tuner/trial_*/trial.json"):
        json.loads(path.read_text())
    for one, other in zip(weights(killed / "best"), weights(tmp_path / "whole" / "best"), strict=True):
        assert np.array_equal(one, other)


def resident(process: int) -> float:
    """Memory of a process, MiB; 0 where it is gone."""
    try:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1024
    except (OSError, TypeError):
        return 0.0


def children(process: int) -> list[int]:
    lists = Path(f"/proc/{process}/task").glob("*/children")  # a child is listed with the thread that started it
    return [int(child) for listed in lists for child in listed.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_fifty_trials_leave_the_memory_of_the_search_flat(tmp_path):
    """Models are built and trained in the worker, which is replaced before it has twice the memory of its first trial."""
    arguments = [*TINY, RATE, "--tuner=random", "--max_epochs=1", "--max_trials=50", "--run_dir=found"]
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_imgcls", "tune", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    parent, workers = {}, []
    while process.poll() is None:
        trials = len(reports(tmp_path / "found"))
        if trials:
            parent[trials] = resident(process.pid)
            workers += [resident(child) for child in children(process.pid)]
        time.sleep(0.2)
    assert process.returncode == 0
    assert len(table(tmp_path / "found")) == 50
    assert max(memory for trials, memory in parent.items() if 10 < trials < 50) < parent[min(parent)] + 50
    assert max(workers) < 2 * next(filter(None, workers))


@pytest.mark.slow
def test_two_workers_on_this_machine_share_a_search(command, tmp_path):
    finished = command(
        "tune",
        *TINY,
        RATE,
        "--max_epochs=2",
        "--max_trials=6",
        "--tuner=random",
        "--workers=2",
        "--run_dir=found",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    events = Journal(tmp_path / "found" / "journal.jsonl").events()
    assert sorted(begun(tmp_path / "found")) == [f"{index:04}" for index in range(6)]
    assert {event["tuner"] for event in events if event["event"] == "begin"} == {"worker0", "worker1"}
    assert len({row["learning_rate"] for row in table(tmp_path / "found")}) == 6


@pytest.mark.slow
def test_workers_of_a_chief_share_a_search_without_a_trial_twice(command, tmp_path):
    """keras-tuner's service on localhost: a chief that trains nothing, two workers that ask it for trials."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [*TINY, RATE, "--max_epochs=3", "--max_trials=6", "--workers=0", f"--chief={port}", "--run_dir=found"]
    start = [sys.executable, "-m", "keras_imgcls", "tune"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    chief = subprocess.Popen([*start, *arguments], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    while "Chief at 127.0.0.1" not in (line := chief.stdout.readline()):
        assert line, "the chief ended"
    joined = [*start, f"--join=127.0.0.1:{port}", "--run_dir=found"]
    workers = [subprocess.Popen(joined, cwd=tmp_path, env=environment) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert chief.wait() == 0
    events = Journal(tmp_path / "found" / "journal.jsonl").events()
    assert len(table(tmp_path / "found")) == 6
    assert len(set(reports(tmp_path / "found"))) == len(reports(tmp_path / "found"))
    assert len({event["tuner"] for event in events if event["event"] == "begin"}) == 2
    assert (tmp_path / "found" / "best" / "metrics.json").is_file()
