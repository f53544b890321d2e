"""Dry run: build everything, take one step, say what training would cost; write nothing."""

import time

from keras_imgcls.core import config as config_module
from keras_imgcls.core import phases
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import duration, note, table
from keras_imgcls.experiment import prepare
from keras_imgcls.models import classifier
from keras_imgcls.training import memory
from keras_imgcls.training.acceleration import accelerate
from keras_imgcls.training.feed import timed
from keras_imgcls.training.learner import Learner


def dry_run(config: TrainConfig) -> str:
    """A table: parameters, multiply-adds, estimated memory and time of the training that `config` describes."""
    if config.every_fold:
        note(f"Of {config.folds} folds, the first:")
        config = config_module.replace(config, fold=1)
    ready = prepare.prepare(config)
    config, feed = ready.config, ready.feed
    learner = Learner(
        accelerate(ready.model, config.mixed_precision),
        config,
        config.epochs * feed.steps,
        ready.class_weights,
        ready.augment,
    )
    learner.make_train_function()
    iterator = iter(timed(feed.batches(0, 0)))
    learner.train_function(iterator)
    began = time.perf_counter()
    steps = min(config.steps_per_execution, feed.steps)
    if feed.steps > steps:
        learner.train_function(iterator)
    seconds = (time.perf_counter() - began) / steps
    described, need = classifier.describe(ready.model), memory.estimate(ready.model, config, feed.images)
    rows = [
        ("model", config.model),
        ("first weights", ready.first_weights),
        ("parameters", f"{described.parameters:,}"),
        ("multiply-adds an image", f"{described.macs:,}"),
        (
            "memory, estimated",
            f"{need.of(config.batch_size) / 2**20:,.0f} MiB beside what is loaded now",
        ),
        ("precision", config.mixed_precision),
        (
            "speed of one step",
            f"{config.batch_size / seconds:,.0f} images/s" if feed.steps > steps else "too few steps to tell",
        ),
        ("training time, estimated", duration(seconds * feed.steps * _epochs_of_images(config))),
    ]
    return table(rows) + "\n\nDry run: nothing was written."


def _epochs_of_images(config: TrainConfig) -> int:
    """The epochs that go through the whole model; those of a head over kept features take next to no time."""
    plan = phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
    return sum(phase.epochs for phase in plan if phase.frozen != "features" or not config.feature_views)
