import resource

import pytest

from keras_imgcls.core.errors import CannotWrite
from keras_imgcls.tuning.journal import Journal, Record, records


def test_a_torn_line_is_taken_off_and_a_damaged_one_named(tmp_path, capsys):
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.events() == []
    journal.append({"event": "session", "cap": 3})
    with open(journal.path, "ab") as file:
        file.write(b'{"broken\n{"event": "beg')
    assert journal.events() == [{"event": "session", "cap": 3}]
    assert "line 2 is damaged" in capsys.readouterr().err
    journal.repair()
    journal.append({"event": "end"})
    assert journal.events()[-1] == {"event": "end"}


def test_a_full_disk_is_told_and_costs_no_event(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"event": "session"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 5, before[1]))
    try:
        with pytest.raises(CannotWrite, match=r"Can't write .*/journal\.jsonl: File too large\."):
            journal.append({"event": "begin"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.repair()
    journal.append({"event": "end"})
    assert journal.events() == [{"event": "session"}, {"event": "end"}]


def test_records_follow_a_trial_through_its_rungs():
    events = [
        {"event": "session", "cap": 0},
        {"event": "begin", "trial": "0000", "tuner": "a", "values": {"x": 1, "tuner/epochs": 1}},
        {"event": "epoch", "trial": "0000", "epoch": 1, "metrics": {"val_accuracy": 0.5, "seconds": 2}},
        {"event": "end", "trial": "0000", "status": "COMPLETED", "reason": ""},
        {"event": "begin", "trial": "0001", "tuner": "a", "values": {"x": 2}},
        {"event": "end", "trial": "0001", "status": "FAILED", "reason": "nan"},
        {
            "event": "begin",
            "trial": "0002",
            "tuner": "a",
            "values": {"x": 1, "tuner/trial_id": "0000", "tuner/epochs": 3},
        },
        {"event": "epoch", "trial": "0002", "epoch": 2, "metrics": {"val_accuracy": 0.7, "seconds": 3}},
        {"event": "session", "cap": 0},
    ]
    first, second = records(events)
    assert (first.name, first.values, first.status, first.seconds) == ("0000", {"x": 1}, "waiting", 5)
    assert first.best("val_accuracy", True) == 0.7
    assert second == Record("0001", {"x": 2}, {}, "failed", "nan")
