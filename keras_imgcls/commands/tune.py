"""Tune: a search over flags of `train`, every trial an ordinary run."""

from pathlib import Path

from keras_imgcls import startup
from keras_imgcls.core import config as config_module
from keras_imgcls.core import options
from keras_imgcls.core import run as run_module
from keras_imgcls.core.config import TrainConfig, TuneConfig
from keras_imgcls.core.console import command, note
from keras_imgcls.core.errors import CannotWrite, UserError
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.tuning import plan
from keras_imgcls.tuning.executor import LocalExecutor
from keras_imgcls.tuning.folder import Folder

USAGE = """Search the flags of train.

  bin/tune --flagfile=digits.flags --search=digits.search
  bin/tune --flagfile=cifar.flags --data_dir=FOLDER --search="learning_rate=log(0.1, 3); momentum=uniform(0.7, 0.95)"
  bin/tune --run_dir=RUN --resume
  bin/tune --run_dir=RUN --refit

All flags of train that are not searched are the same in all trials. Writes RUN/: trials.csv, search.html, best.flags, best/
(a run like any other), trials/ (the runs), tensorboard/. Workers on other machines: --chief and --join."""
CONFIG = TuneConfig


def run(config: TuneConfig) -> int:
    """Searches, goes on with a search, works for one, or trains its best flags on all data."""
    if config.refit:
        return refit(config)
    if config.resume or config.join:
        config = stored_config(config)
    load_plugins(config.plugin)
    ready = plan.make(config)
    folder = Folder(config.run_dir or run_module.name_run(_dataset(config), f"search-{config.tuner}"))
    note(f"Search by {config.tuner} in {folder.path}:\n  " + "\n  ".join(str(ready.space).splitlines()))
    if config.dry_run:
        note("\nDry run: nothing was written.")
        return 0
    if not config.resume and not config.join:
        folder.create(ready.config)
    executors = [LocalExecutor(config.tensorflow_log, config.worker_memory) for _ in range(config.workers)]
    for executor in executors:
        executor.start()  # its imports and ours take seconds: at the same time
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.tuning import search, service

    if config.join:
        service.join(ready.config, folder, executors)
        return 0
    serve = service.server(config.chief) if config.chief else None
    try:
        search.search(ready.config, folder, executors, serve)
    except (KeyboardInterrupt, CannotWrite):
        note(f"\nGo on with: {command('tune', f'--run_dir={folder.path}', '--resume')}")
        raise
    summarize(folder)
    return 0


def stored_config(given: TuneConfig) -> TuneConfig:
    """The flags that the search in `--run_dir` began with.

    Raises:
        UserError: there is no such search, or a flag or the space now says something else than it did then.
    """
    if not given.run_dir:
        raise UserError("Which search? Give --run_dir=RUN.")
    stored = Folder(given.run_dir).config()
    changed = plan.differences(stored, given)
    if changed:
        raise UserError(f"{given.run_dir} is another search: {'; '.join(changed)}. Resume it with --run_dir alone.")
    kept = {"workers", "worker_memory", "chief", "join", "run_dir", "resume", "dry_run", "tensorflow_log", "cache_dir"}
    default = TuneConfig()
    kept |= {name for name in plan.OF_THIS_CALL if getattr(given, name) != getattr(default, name)}
    return config_module.replace(stored, **{name: getattr(given, name) for name in kept})


def refit(config: TuneConfig) -> int:
    """Trains the best flags on all training images, those that validated included, into RUN/refit."""
    folder = Folder(config.run_dir)
    if not folder.best_flags.is_file():
        raise UserError(
            f"{config.run_dir or 'The search'} has no best.flags yet: --refit needs --run_dir of a finished search."
        )
    found = options.parse(TrainConfig, options.read_flagfile(folder.best_flags.resolve()), "")
    changes = {
        "validation_fraction": 0.0,
        "run_dir": str(folder.refit),
        "overwrite": config.overwrite,
        "resume": config.resume,
    }
    load_plugins(found.plugin)
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.experiment import train

    finished = train.train(config_module.replace(found, **changes))
    note(f"Refitted on all training images: {finished.path}")
    return 0


def summarize(folder: Folder) -> None:
    """Prints where the best trial is, its numbers on the test split, and what comes next."""
    best = run_module.open_run(folder.best)
    test = best.read_metrics().get("test")
    note(f"\nBest trial: {folder.best.resolve().name}, kept as {folder.best}")
    if test:
        interval = f"{test['accuracy_low']:.2%} to {test['accuracy_high']:.2%}"
        note(f"test accuracy {test['accuracy']:.2%} (95 % interval {interval}), looked at once, by this trial alone")
    note(f"Page: {folder.page}   Table: {folder.table}\n\nNext:")
    note(f"  {command('train', f'--flagfile={folder.best_flags}')}")
    note(f"  {command('tune', f'--run_dir={folder.path}', '--refit')}")
    note(f"  {command('view', f'--run_dir={folder.path}')}")


def _dataset(config: TuneConfig) -> str:
    return config.dataset or Path(config.data_dir).resolve().name
