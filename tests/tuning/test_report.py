"""Tables, pages and the live board, from made-up records."""

import csv
import dataclasses
import io

import pytest

from keras_imgcls.core.config import TuneConfig
from keras_imgcls.tuning import plan, report
from keras_imgcls.tuning.board import Board
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.importance import importance
from keras_imgcls.tuning.journal import Record

SEARCH = "learning_rate=log(0.001, 1); optimizer=choice(sgd, adamw); momentum=uniform(0.5, 0.9) when optimizer=sgd"


def ready(objective="accuracy"):
    return plan.make(TuneConfig(dataset="digits", search=SEARCH, objective=objective))


def record(index, accuracy, rate=0.1, status="ended", cost=1.0, reason=""):
    values = {
        "learning_rate": rate,
        "optimizer": ("sgd", "adamw")[index % 2],
        **({} if index % 2 else {"momentum": 0.7}),
    }
    epochs = {n: {"val_accuracy": accuracy * n / 3, "seconds": 1.0, "parameters": cost} for n in range(1, 4)}
    return Record(f"{index:04}", values, epochs, status, reason)


RECORDS = [
    record(0, 0.5),
    record(1, 0.9, 0.2, cost=9.0),
    record(2, 0.95, status="failed", reason="<nan> & more"),
    record(3, 0.7, cost=2.0),
]


def test_the_best_trial_has_not_failed():
    assert report.best(RECORDS, ready().objective).name == "0001"
    assert report.best([RECORDS[2]], ready().objective) is None
    assert report.pareto(RECORDS, ready("accuracy, parameters").objective) == ["0000", "0001", "0003"]


def test_files(tmp_path):
    folder = Folder(tmp_path)
    report.write(folder, ready("accuracy, parameters"), RECORDS)
    with open(folder.table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["momentum"] for row in rows] == ["0.7", "", "0.7", ""]
    assert [row["pareto"] for row in rows] == ["True", "True", "False", "True"]
    page = folder.page.read_text(encoding="utf-8")
    assert page.count("<polyline") == 6  # three trials have a score: a curve and a line through the axes each
    assert (
        page.index('<tr data-trial="0001"') < page.index('<tr data-trial="0003"') < page.index('<tr data-trial="0000"')
    )
    assert "&lt;nan&gt; &amp; more" in page and "<nan>" not in page
    assert "src=" not in page and "http" not in page
    assert {path.parent.name for path in folder.tensorboard.glob("*/events.*")} == {"0000", "0001", "0002", "0003"}


def test_a_trial_that_was_left_before_its_last_epoch_says_so():
    planned = ready()
    whole = Record("0004", {"learning_rate": 0.1}, {epoch: {"val_accuracy": 0.5} for epoch in range(1, 21)}, "ended")
    assert [report.status(one, planned) for one in (*RECORDS[:3], whole)] == ["paused", "paused", "failed", "ended"]
    assert report.status(RECORDS[0], plan.make(dataclasses.replace(planned.config, tuner="random"))) == "stopped"


def test_the_reporter_writes_when_a_minute_is_over(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    reporter = report.Reporter(folder, ready())
    reporter.look()
    assert not folder.page.exists()
    reporter._next = 0
    reporter.look()
    assert "No trial yet" in folder.page.read_text(encoding="utf-8")
    folder.page.unlink()
    reporter.look()
    assert not folder.page.exists()


def test_importance_finds_what_decides():
    records = [record(index, 0.2 + 0.03 * index, rate=0.001 * 1.3**index) for index in range(20)]
    shares = importance(ready(), records, [r.best("val_accuracy", True) for r in records])
    assert shares["learning_rate"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(ready(), records[:5], [0.0] * 5) == {}


def test_the_board_prints_plain_lines_when_piped_and_redraws_on_a_terminal():
    plain = io.StringIO()
    show(Board(ready().objective, 2, 1, RECORDS[:1], plain))
    header, first, second = plain.getvalue().splitlines()
    assert header.split() == ["trial", "epoch", "accuracy", "best", "values"]
    assert first.split() == ["0001", "1", "0.7000", "0.7000", "learning_rate=0.1"]
    assert second.startswith("0002") and second.endswith("failed: nan")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    show(Board(ready().objective, 2, 1, (), terminal))
    assert "\x1b[2A\x1b[J" in terminal.getvalue()
    assert "1 of 2 trials  ETA" in terminal.getvalue()


def test_progress_is_told_now_and_then_when_piped(monkeypatch):
    monkeypatch.setattr("keras_imgcls.tuning.board.PIPED_SECONDS", 0)
    stream = io.StringIO()
    board = Board(ready().objective, 3, 1, (), stream)
    board.began("0001", {"learning_rate": 0.1})
    board.epoch("0001", 1, 0.6, goes_on=True)
    board.epoch("0001", 2, 0.7, goes_on=False)  # its line comes when it ends: not twice
    board.ended("0001", "")
    _, on_its_way, ended, progress = stream.getvalue().splitlines()
    assert on_its_way.split() == ["0001", "1", "0.6000", "0.6000", "…", "0", "of", "3", "trials"]
    assert ended.split() == ["0001", "2", "0.7000", "0.7000", "learning_rate=0.1"]
    assert progress.startswith("1 of 3 trials  ETA")


def show(board):
    board.began("0001", {"learning_rate": 0.1})
    board.epoch("0001", 1, 0.7, goes_on=False)
    board.ended("0001", "")
    board.began("0002", {"learning_rate": 0.2})
    board.ended("0002", "nan")
    board.close()
