"""What a run that goes on must have in common with its beginning, and how a difference reads."""

import csv
from collections.abc import Sequence
from typing import Any

from keras_imgcls.core import files, options
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.data.manifest import Manifest

NAMED = 3


def require_same(run: Run, manifest: Manifest, anyway: bool = False) -> bool:
    """Whether the classes and the manifest are those that the run began with; differences are an error, or warnings.

    Raises:
        UserError: something differs and `anyway` is off; the message says what.
    """
    if run.class_names == list(manifest.class_names) and run.manifest.read_text(encoding="utf-8") == manifest.text():
        return True
    changes = "; ".join([*class_changes(run.class_names, manifest.class_names), *_sample_changes(run, manifest)])
    if not anyway:
        raise UserError(f"The data has changed since {run.path} began: {changes}. --resume_anyway goes on with it.")
    warn(f"the data has changed since {run.path} began: {changes}.")
    return False


def class_changes(then: Sequence[str], now: Sequence[str]) -> list[str]:
    """What is different between two lists of class names, in words."""
    changes = [
        f"{word} {_listed(names)}"
        for word, names in (
            ("new classes:", [name for name in now if name not in then]),
            ("classes that are gone:", [name for name in then if name not in now]),
        )
        if names
    ]
    return changes or (["the order of the classes"] if list(then) != list(now) else [])


def _sample_changes(run: Run, manifest: Manifest) -> list[str]:
    then, now = (
        _rows(csv.DictReader(text.splitlines(keepends=True)))
        for text in (run.manifest.read_text(encoding="utf-8"), manifest.text())
    )
    both = [source for source in then if source in now]
    kinds = {
        "new": [source for source in now if source not in then],
        "gone": [source for source in then if source not in now],
        "with another label": [source for source in both if then[source]["label"] != now[source]["label"]],
        "in another split": [source for source in both if then[source]["split"] != now[source]["split"]],
    }
    changes = [f"{len(sources):,} images {kind} ({_listed(sources)})" for kind, sources in kinds.items() if sources]
    return changes or ["other columns or another order in the manifest"]


def _rows(reader) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in reader}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def rewrite_flags(run: Run, config: TrainConfig) -> None:
    """Makes `config.flags` say what the run is trained with from now on; a finished one is unfinished again."""
    text = options.write_flagfile(config)
    if run.flags.read_text(encoding="utf-8") != text:
        run.metrics.unlink(missing_ok=True)
        files.write_text(run.flags, text)
