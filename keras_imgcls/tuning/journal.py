"""The journal of a search: a line of JSON an event, on the disk before the search goes on; and what it tells of each trial.

keras-tuner's own files hold the state of its oracles in several places that a kill leaves apart. Here the events are the truth:
an oracle that is given them again, in order, is where it was.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_imgcls.core import files
from keras_imgcls.core.console import warn

OWN = "tuner/"  # what keras-tuner's oracles put among the values: epochs of a rung, the trial that is continued


class Journal:
    """Events in the order in which they happened."""

    def __init__(self, path: Path) -> None:
        """Names the file; `events` reads it, `append` makes it."""
        self.path = path

    def append(self, event: dict[str, Any]) -> None:
        """Writes one event and waits for the disk.

        Raises:
            CannotWrite: the disk took no more than a part of the line, which `repair` takes off.
        """
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        with files.told(self.path), open(self.path, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def repair(self) -> None:
        """Takes off a last line that a kill left unfinished; only for the process that writes."""
        if self.path.is_file():
            content = self.path.read_bytes()
            os.truncate(self.path, content.rfind(b"\n") + 1)

    def events(self) -> list[dict[str, Any]]:
        """All events that are whole. A damaged line among them is named and passed over."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        found = []
        for number, line in enumerate(content.split(b"\n")[:-1], 1):
            try:
                found.append(json.loads(line))
            except ValueError:
                warn(f"{self.path.name}, line {number} is damaged and passed over.")
        return found


@dataclass
class Record:
    """What is known of one trial.

    Attributes:
        name: four digits, the folder of its run below `trials/`.
        values: the values of the space by key.
        epochs: what was reported of each epoch, by epoch, counted from 1.
        status: `running`, `waiting` (interrupted; a resume goes on with it), `ended` or `failed`.
        reason: why it failed.
    """

    name: str
    values: dict[str, Any]
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    status: str = "running"
    reason: str = ""

    def best(self, metric: str, largest: bool) -> float | None:
        """The best value of `metric` over the epochs; None before the first."""
        found = [row[metric] for row in self.epochs.values() if metric in row]
        return (max if largest else min)(found) if found else None

    @property
    def seconds(self) -> float:
        """Time of its training steps."""
        return sum(row.get("seconds", 0.0) for row in self.epochs.values())


def records(events: Iterable[dict[str, Any]]) -> list[Record]:
    """One record a trial; a trial that keras-tuner's Hyperband began to continue another one is part of that one."""
    found: dict[str, Record] = {}
    roots: dict[str, str] = {}
    for event in events:
        kind, trial = event["event"], event.get("trial", "")
        if kind == "session":
            for record in found.values():
                record.status = "waiting" if record.status == "running" else record.status
        elif kind == "begin":
            earlier = event["values"].get(f"{OWN}trial_id")
            roots[trial] = roots.get(earlier, earlier) or trial
            values = {name: value for name, value in event["values"].items() if not name.startswith(OWN)}
            record = found.setdefault(roots[trial], Record(roots[trial], values))
            record.status = "running"
        elif roots.get(trial) in found:
            record = found[roots[trial]]
            if kind == "epoch":
                record.epochs[event["epoch"]] = event["metrics"]
            else:
                record.status, record.reason = (
                    ("ended", "") if event["status"] == "COMPLETED" else ("failed", event["reason"])
                )
    return list(found.values())
