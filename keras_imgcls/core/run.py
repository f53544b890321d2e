"""The run directory: what lies where, how one is made, and how one is opened."""

import csv
import json
import os
import shutil
import time
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_imgcls.core import files, lock, options
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError

CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's categories of control characters, lone surrogates, ends of lines
LONGEST = 150  # bytes of a run's name but the time; file systems take 255 bytes


class Run:
    """A folder that holds one training run. The properties are paths; the files are written by the rooms that own them."""

    def __init__(self, path: str | Path) -> None:
        """Names the folder; touches nothing."""
        self.path = Path(path)
        self.flags = self.path / "config.flags"
        self.labels = self.path / "labels.txt"
        self.manifest = self.path / "manifest.csv"
        self.model = self.path / "model.keras"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.environment = self.path / "environment.json"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.evaluation = self.path / "evaluation"
        self.export = self.path / "export"

    @cached_property
    def config(self) -> TrainConfig:
        """The options that the run was trained with, read from `config.flags`."""
        return options.parse(TrainConfig, options.read_flagfile(self.flags.resolve()), "")

    @property
    def class_names(self) -> list[str]:
        """The names of the classes in the order of the model's outputs."""
        return self.labels.read_text(encoding="utf-8").split("\n")[:-1]

    def read_metrics(self) -> dict[str, Any]:
        """`metrics.json`, or an empty dictionary before the run has finished."""
        return json.loads(self.metrics.read_text(encoding="utf-8")) if self.metrics.is_file() else {}

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.metrics.is_file()

    def read_history(self) -> list[dict[str, str]]:
        """The rows of `history.csv`."""
        with open(self.history, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def read_manifest(self) -> list[dict[str, str]]:
        """The rows of `manifest.csv`."""
        with open(self.manifest, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def write_class_names(self, class_names: Sequence[str]) -> None:
        """Locks the names of the classes, one a line.

        Raises:
            UserError: as `require_names`.
        """
        require_names(class_names)
        files.write_text(self.labels, "".join(f"{name}\n" for name in class_names))


def require_names(class_names: Iterable[str]) -> None:
    """Holds that the names of classes can be lines of `labels.txt`, cells and captions. None of them ever names a file.

    Raises:
        UserError: a name is empty, or has a line break or another control character.
    """
    for name in class_names:
        if not name or any(unicodedata.category(letter) in CONTROL for letter in name):
            raise UserError(f"A class can't be called {name!r}: a name is one line of text.")


def name_run(dataset: str, model: str) -> Path:
    """`runs/DATASET-MODEL-TIME`, a folder that is not there yet."""
    letters = (letter if letter.isalnum() or letter in "_.=" else "-" for letter in f"{dataset}-{model}")
    safe = "".join(letters).strip("-.").encode()[:LONGEST].decode(errors="ignore")
    stem = Path("runs") / f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = stem, 2
    while path.exists():
        path, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return path


def path_of(config: TrainConfig) -> Path:
    """`--run_dir`, or a fresh name of the dataset, the model and the time."""
    dataset = config.dataset or Path(config.data_dir).resolve().name
    return Path(config.run_dir) if config.run_dir else name_run(dataset, config.model)


def require_free(path: Path, overwrite: bool = False) -> None:
    """Holds that a run can be made at `path`; touches nothing.

    Raises:
        UserError: another process works there, something is there already and `overwrite` is off, what is there is no
            run, or writing is not allowed.
    """
    lock.require_free(path)
    _require_no_run(path, overwrite)


def _require_no_run(path: Path, overwrite: bool) -> None:
    if path.exists() and (not path.is_dir() or _entries(path)):
        if not Run(path).flags.is_file():
            raise UserError(f"{path} exists and is no run: choose another --run_dir.")
        if not overwrite:
            raise UserError(
                f"{path} holds a run: continue it with --resume, replace it with --overwrite, or choose another --run_dir."
            )
        for part in path.glob(f"*/{lock.NAME}"):  # of folds and trials
            lock.require_free(part.parent)
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir():
        raise UserError(f"Can't make the run directory {path}: {parent} is no folder.")
    if not os.access(parent, os.W_OK):
        raise UserError(f"Can't make the run directory {path}: no permission to write in {parent}.")


def _entries(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.name != lock.NAME]


def create(path: Path, overwrite: bool = False) -> Run:
    """A new run at `path`, whose lock the caller may hold.

    Raises:
        UserError: as `require_free`, or the folder can't be made.
    """
    _require_no_run(path, overwrite)
    run = Run(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for entry in _entries(path):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    except OSError as error:
        raise UserError(f"Can't make the run directory {path}: {error.strerror}.") from error
    return run


def open_run(path: str | Path, folds: bool = False) -> Run:
    """The run at `path`.

    Raises:
        UserError: there is none, it can't be read, or it holds the folds of a cross-validation and `folds` is off.
    """
    run = Run(path)
    if not str(path):
        raise UserError("Which run? Give --run_dir=RUN.")
    if not run.path.is_dir():
        runs = (
            sorted(other.parent.name for other in run.path.parent.glob("*/config.flags"))
            if run.path.parent.is_dir()
            else []
        )
        known = f" Runs there: {', '.join(runs[-5:])}." if runs else ""
        raise UserError(f"There is no run directory {path}.{known}")
    try:
        run.flags.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} is no run that can be read: {run.flags.name}: {error.strerror}.") from error
    if not folds and (run.path / "fold_1").is_dir():
        raise UserError(
            f"{path} is a cross-validation, a model for each fold: choose one (--run_dir={run.path / 'fold_1'}), or train "
            "the model that you will use on all images, without --folds."
        )
    return run
