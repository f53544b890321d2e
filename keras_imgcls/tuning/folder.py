"""The folder of a search: what lies where, and how one is made."""

import contextlib
import os
import shutil
from pathlib import Path

from keras_imgcls.core import files, options
from keras_imgcls.core.config import TuneConfig
from keras_imgcls.core.errors import UserError


class Folder:
    """The properties are paths; the files are written by the modules that own them."""

    def __init__(self, path: str | Path) -> None:
        """Names the folder; touches nothing."""
        self.path = Path(path)
        self.flags = self.path / "search.flags"
        self.journal = self.path / "journal.jsonl"
        self.settled = self.path / "settled.json"
        self.trials = self.path / "trials"
        self.table = self.path / "trials.csv"
        self.page = self.path / "search.html"
        self.best = self.path / "best"
        self.best_flags = self.path / "best.flags"
        self.refit = self.path / "refit"
        self.tensorboard = self.path / "tensorboard"

    def config(self) -> TuneConfig:
        """The flags that the search began with.

        Raises:
            UserError: there is no search here.
        """
        if not self.flags.is_file():
            raise UserError(f"{self.path} holds no search ({self.flags.name} is not there).")
        return options.parse(TuneConfig, options.read_flagfile(self.flags.resolve()), "")

    def trial(self, name: str, execution: int = 0) -> Path:
        """The run of a trial: `trials/0003`, its second execution `trials/0003-2`."""
        return self.trials / (f"{name}-{execution + 1}" if execution else name)

    def log(self, name: str) -> Path:
        """What the training of a trial printed."""
        return self.trials / f"{name}.log"

    def create(self, config: TuneConfig) -> None:
        """Makes the folder of a new search.

        Raises:
            UserError: something is there, and `--overwrite` does not stand.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if not self.flags.is_file():
                raise UserError(f"{self.path} exists and is no search: choose another --run_dir.")
            if not config.overwrite:
                raise UserError(
                    f"{self.path} holds a search: go on with --resume, replace it with --overwrite, or choose another --run_dir."
                )
            shutil.rmtree(self.path)
        self.trials.mkdir(parents=True)
        files.write_text(self.flags, options.write_flagfile(config))

    def choose(self, run: Path) -> None:
        """Makes `best` a link to `run`, and `best.flags` its flags: what was scored is what is kept, byte for byte."""
        link = self.path / ".best.part"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(run.relative_to(self.path))
        os.replace(link, self.best)
        files.write_text(self.best_flags, (run / "config.flags").read_text(encoding="utf-8"))
