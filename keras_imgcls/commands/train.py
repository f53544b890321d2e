"""Train: from a dataset to a run directory with a model, its history and its numbers."""

from dataclasses import fields
from pathlib import Path

from keras_imgcls import startup
from keras_imgcls.core import config as config_module
from keras_imgcls.core import run as run_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import command, duration, note, table, warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.model_arguments import settle_model
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.run import Run
from keras_imgcls.core.signals import Interrupted
from keras_imgcls.models import published

USAGE = """Train a classifier.

  bin/train --flagfile=digits.flags
  bin/train --flagfile=cifar.flags --data_dir=FOLDER
  bin/train --data_dir=photos --epochs=30
  bin/train --data_dir=photos --folds=5"""
CONFIG = TrainConfig


def run(config: TrainConfig) -> int:
    """Trains as `config` says, prints the results and what to do next."""
    if config.resume:
        config = stored_config(config)
        finished = run_module.open_run(config.run_dir, folds=True)
        if finished.finished and config == config_module.replace(finished.config, **_of_this_call(config)):
            note(f"{finished.path} is finished: nothing to resume.")
            summarize(finished)
            return 0
    load_plugins(config.plugin)
    config_module.check(config)
    if config.pretrained == config_module.IMAGENET:
        published.require(settle_model(config).model)
    if not config.resume and not config.dry_run:
        config = config_module.replace(config, run_dir=str(run_module.path_of(config)))
        run_module.require_free(Path(config.run_dir), config.overwrite)
    startup.tensorflow(config.tensorflow_log)  # takes seconds; the checks above answer at once
    from keras_imgcls.experiment import dry_run, folds, train

    if config.dry_run:
        note(dry_run.dry_run(config))
        return 0
    try:
        summarize(folds.cross_validate(config) if config.every_fold else train.train(config))
    except Interrupted as stop:
        if Run(config.run_dir).flags.is_file():
            note(f"Resume: {command('train', f'--run_dir={config.run_dir}', '--resume')}")
        return stop.code
    return 0


def stored_config(given: TrainConfig) -> TrainConfig:
    """The options that the run in `--run_dir` began with; more `--epochs`, and with `--resume_anyway` whatever is given.

    Raises:
        UserError: there is no such run, or a flag now says something else than it did then.
    """
    if not given.run_dir:
        raise UserError("Which run is to be resumed? Give --run_dir=RUN.")
    stored = run_module.open_run(given.run_dir, folds=True).config
    differences = config_module.differences(stored, given)
    refused = [
        f"--{name} was {then}, is {now}" for name, then, now in differences if not (name == "epochs" and now > then)
    ]
    if refused and not given.resume_anyway:
        raise UserError(
            f"{given.run_dir} began with other flags: {'; '.join(refused)}. Resume it with --run_dir alone (more --epochs "
            "are allowed), or with --resume_anyway."
        )
    if refused:
        warn(f"{given.run_dir} began with other flags: {'; '.join(refused)}.")
    changes = {name: now for name, _, now in differences}
    return config_module.replace(stored, **changes, **_of_this_call(given))


def _of_this_call(given: TrainConfig) -> dict[str, object]:
    """What is not part of a run: `--run_dir` and its like."""
    return {field.name: getattr(given, field.name) for field in fields(given) if not field.metadata["stored"]}


def summarize(finished: Run) -> None:
    """Prints the numbers of a finished run and the commands that come next."""
    metrics = finished.read_metrics()
    if "folds" in metrics:
        note(f"\n{_folds(finished, metrics)}")
        return
    training = metrics["training"]
    rows = [row for split in ("test", "validation") if split in metrics for row in _accuracies(split, metrics[split])]
    rows += _grouping(metrics.get("groups", {}))
    rows += [
        ("training time", duration(training["seconds"]), f"{training['epochs']} epochs"),
        ("training speed", f"{training['images_per_second']:,.0f} images/s", ""),
        ("run", str(finished.path), ""),
    ]
    note("\n" + table(rows) + "\n\nNext:")
    flag = f"--run_dir={finished.path}"
    for verb, *more in (("view",), ("evaluate",), ("predict", "--source=IMAGE_OR_FOLDER"), ("export",)):
        note(f"  {command(verb, flag, *more)}")


def _accuracies(split: str, metrics: dict) -> list[tuple[str, str, str]]:
    """The accuracy of a split, and that with test-time augmentation where it was asked for."""
    rows = []
    for name, remark in (("accuracy", f"{metrics['count']:,} images"), ("tta_accuracy", "test-time augmentation")):
        if name in metrics:
            low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
            rows.append((f"{split} accuracy", f"{metrics[name]:.2%} (95 % interval {low:.2%} to {high:.2%})", remark))
    return rows


def _folds(run: Run, metrics: dict) -> str:
    """The table of a cross-validation, and what comes next."""
    header = ("held out", "images", "accuracy", "95 % interval", "balanced accuracy", "loss", "best epoch")
    rows = [(f"fold {fold['fold']}", *_scores(fold), fold["best_epoch"]) for fold in metrics["folds"]]
    rows.append(("all", *_scores(metrics["held_out"]), ""))
    never, training, spread = metrics["never_held_out"], metrics["training"], metrics["spread"]["accuracy"]
    told = [
        ("accuracy of the folds", f"{spread['mean']:.2%}, standard deviation {spread['deviation']:.2%}"),
        *([("never held out", f"{never:,} images, in the only group of their class")] if never else []),
        *[(name, f"{value}, {remark}") for name, value, remark in _grouping(metrics["groups"])],
        ("training time", duration(training["seconds"])),
        ("run", str(run.path)),
    ]
    first = command("predict", f"--run_dir={run.path / 'fold_1'}", "--source=IMAGE_OR_FOLDER")
    return f"{table(rows, header)}\n\n{table(told)}\n\nNext:\n  {first}"


def _scores(metrics: dict) -> tuple[str, str, str, str, str]:
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    rates = f"{metrics['accuracy']:.2%}", f"{low:.2%} to {high:.2%}", f"{metrics['balanced_accuracy']:.2%}"
    return f"{metrics['count']:,}", *rates, f"{metrics['loss']:.4f}"


def _grouping(groups: dict) -> list[tuple[str, str, str]]:
    """What stayed together, and what the given splits tore apart."""
    if not groups.get("count"):
        return []
    leaks = [
        f"{groups[f'{split}_leaked']:,} {split}" for split in ("validation", "test") if f"{split}_leaked" in groups
    ]
    warning = f"{' and '.join(leaks)} images are of groups that training has too" if leaks else "whole in their splits"
    copies = f"{groups['identical_files']:,} of byte-identical files"
    return [("groups", f"{groups['count']:,} ({copies})", warning)]
