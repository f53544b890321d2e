"""Cross-validation: a run for each fold, and the numbers of all that was held out, pooled."""

import logging
import statistics
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core import config as config_module
from keras_imgcls.core import files, lock, options
from keras_imgcls.core import run as run_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.run import Run
from keras_imgcls.evaluation import pooled, report
from keras_imgcls.evaluation.metrics import Evaluation
from keras_imgcls.experiment import train as experiment
from keras_imgcls.experiment.environment import environment

HELD_OUT = "held_out"


def cross_validate(
    config: TrainConfig, model: keras.Model | None = None, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> Run:
    """Trains the `config.folds` runs `RUN/fold_1` … one after another and returns the run that holds them.

    Every image is held out once, whole groups at a time, except where its group is the only one of a class, which training
    can't do without, and except for a test split that the dataset brings, which stays untouched. Each fold is a run like
    any other: what is held out is its test split, looked at once at its end; a validation split of its own, drawn from
    the rest, chooses the best epoch. What `auto` chose in the first fold holds for all.

    `RUN/metrics.json` has the pooled metrics, those of each fold and their spread; `RUN/evaluation/held_out` the
    report with `predictions.csv`. With `config.resume`, finished folds are not repeated.

    Args:
        config: `folds` is 2 or more, `fold` is 0.
        model: stands in for the one that `config.model` names; each fold begins with the weights it has now.
        callbacks: Keras callbacks, the same ones in each fold.

    Raises:
        UserError: as `train.train`; or the data has changed between two folds.
    """
    load_plugins(config.plugin)
    run = experiment.reserve(config, check_names=model is None)
    with lock.hold(run.path):
        return _cross_validate(run, config, model, callbacks)


def _cross_validate(run: Run, config: TrainConfig, model: keras.Model | None, callbacks: Sequence) -> Run:
    if not config.resume:
        run = run_module.create(run.path, config.overwrite)
        files.write_text(run.flags, options.write_flagfile(config))
        files.write_json(run.environment, environment())
    tf.get_logger().setLevel(logging.ERROR)  # each fold traces its own step, which TensorFlow takes for a mistake
    first_weights = model.get_weights() if model else None
    for fold in range(1, config.folds + 1):
        if model:
            model.set_weights(first_weights)
        _train_fold(run, config, fold, model, callbacks)
    _require_same_data(run, config.folds)
    files.write_json(run.metrics, _pooled(run, config.folds))
    return run


def fold_run(run: Run, fold: int) -> Run:
    """The run of one fold, from 1."""
    return Run(run.path / f"fold_{fold}")


def _train_fold(run: Run, config: TrainConfig, fold: int, model: keras.Model | None, callbacks: Sequence) -> None:
    own, first = fold_run(run, fold), fold_run(run, 1)
    if own.finished:
        note(f"Fold {fold} of {config.folds} is finished: {own.path}")
        return
    note(f"\nFold {fold} of {config.folds}")
    begun = own.flags.is_file()
    settled = own.config if begun else first.config if fold > 1 else config
    where = {"run_dir": str(own.path), "resume": begun, "overwrite": False, "fold": fold}
    experiment.train(config_module.replace(settled, **where), model, callbacks)
    if fold == 1:  # what `auto` chose: this repeats the whole
        files.write_text(run.flags, options.write_flagfile(config_module.replace(first.config, fold=0)))
        run.write_class_names(first.class_names)


def _require_same_data(run: Run, folds: int) -> None:
    """Raises UserError where a fold saw other images than the first: then some were held out twice, or never."""
    seen = [
        sorted((row["source"], row["label"]) for row in fold_run(run, fold).read_manifest()) for fold in _all(folds)
    ]
    changed = [fold for fold in _all(folds) if seen[fold - 1] != seen[0]]
    if changed:
        raise UserError(
            f"The data has changed since {run.path / 'fold_1'} began: fold {changed[0]} has other images or labels. "
            "Begin anew with --overwrite."
        )


def _all(folds: int) -> range:
    return range(1, folds + 1)


def _pooled(run: Run, folds: int) -> dict[str, Any]:
    """Writes the report of all that was held out; what `RUN/metrics.json` holds."""
    runs = [fold_run(run, fold) for fold in _all(folds)]
    kept = [pooled.read(fold.evaluation / "test", run.class_names) for fold in runs]
    evaluations, sources = [evaluation for evaluation, _ in kept], np.concatenate([names for _, names in kept])
    whole = pooled.pool(evaluations)
    fold_of_row = np.repeat(_all(folds), [evaluation.count for evaluation in evaluations])
    report.write(
        run.evaluation / HELD_OUT, whole, sources, {"split": HELD_OUT, "folds": folds}, {"fold": fold_of_row.tolist()}
    )
    metrics = [fold.read_metrics() for fold in runs]
    training = [found["training"] for found in metrics]
    return {
        HELD_OUT: _summary(whole),
        "folds": [
            {"fold": fold, **_summary(evaluation), "best_epoch": told["best_epoch"]}
            for fold, evaluation, told in zip(_all(folds), evaluations, training, strict=True)
        ],
        "spread": {name: _spread(evaluations, name) for name in ("accuracy", "balanced_accuracy", "loss")},
        "training": {
            "seconds": sum(told["seconds"] for told in training),
            "images_per_second": statistics.median(told["images_per_second"] for told in training),
            "epochs": sum(told["epochs"] for told in training),
        },
        "never_held_out": len(runs[0].read_manifest()) - whole.count,
        "excluded": metrics[0]["excluded"],
        "groups": metrics[0]["groups"],
    }


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    return {**evaluation.summary(), "balanced_accuracy": evaluation.balanced_accuracy}


def _spread(evaluations: Sequence[Evaluation], name: str) -> dict[str, float]:
    """Of the folds: their mean, standard deviation (n - 1), least and greatest."""
    values = [getattr(evaluation, name) for evaluation in evaluations]
    return {
        "mean": statistics.fmean(values), "deviation": statistics.stdev(values),
        "least": min(values), "greatest": max(values),
    }  # fmt: skip
