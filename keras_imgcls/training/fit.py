"""The one path of training: one model, one feed, one set of resolved options."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core import config as config_module
from keras_imgcls.core import phases
from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.phases import Phase
from keras_imgcls.core.run import Run
from keras_imgcls.training import budget, checkpoint, freezing, memory
from keras_imgcls.training.acceleration import accelerate, choose_precision
from keras_imgcls.training.features import Features, head, views_that_fit
from keras_imgcls.training.feed import Feed
from keras_imgcls.training.keeper import Keeper
from keras_imgcls.training.learner import Learner
from keras_imgcls.training.loop import Loop
from keras_imgcls.training.stage import Stage

HEAD_STEPS = 32  # of a head in one call: each takes about a millisecond


@dataclass(frozen=True)
class Outcome:
    """What training gave: `history` has one row per epoch, `best_epoch` counts from 1, `seconds` are those of the training steps.

    `images_per_second` is the median of the epochs of the last phase: the first one holds the tracing of the step.
    """

    history: list[dict[str, Any]]
    seconds: float
    images_per_second: float
    best_epoch: int
    rollbacks: list[dict[str, int]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The `training` part of `metrics.json`."""
        return {
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            **({"rollbacks": self.rollbacks} if self.rollbacks else {}),
        }


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seeds Python, NumPy and TensorFlow; with `deterministic`, TensorFlow's operations give equal bits in every run."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def resolve(config: TrainingOptions, model: keras.Model, feed: Feed, macs: int) -> TrainingOptions:
    """`config` with what `auto` chose: precision, XLA, steps per execution, and the epochs that a time budget allows.

    Times a few steps, on a clone, only where there is a choice; a deterministic run follows a fixed rule instead.

    Raises:
        UserError: memory won't do.
    """
    changes: dict[str, Any] = _check_phases(config, model, feed)
    memory.require(model, config_module.replace(config, **changes), feed.images)
    gpu = bool(tf.config.list_physical_devices("GPU"))
    if config.xla == "auto":
        changes["xla"] = "on" if gpu and not config.deterministic else "off"
    if not config.steps_per_execution:
        changes["steps_per_execution"] = _steps_per_execution(config.batch_size * macs, feed.steps)
    speeds: dict[str, float] = {}
    precision = config.mixed_precision
    if precision == "auto" and config.deterministic:
        precision = "float32"
    elif precision == "auto" or config.max_minutes:
        only, norms = None if precision == "auto" else [precision], freezing.normalizations(model, config.freeze_norm)
        precision, speeds = choose_precision(model, (config.batch_size, *feed.image_shape), only, frozen=norms)
        note(
            "Precision: "
            + ", ".join(f"{name} {speed:,.0f} images/s" for name, speed in speeds.items())
            + f" -> {precision}"
        )
    config = config_module.replace(config, **changes, mixed_precision=precision)
    if config.max_minutes:
        config = config_module.replace(config, **budget.settle(config, model, feed, precision, speeds[precision]))
    return config


def _check_phases(config: TrainingOptions, model: keras.Model, feed: Feed) -> dict[str, Any]:
    """Holds landmarks against the model; how many views of features can be kept."""
    plan = phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
    for phase in plan:
        freezing.layers_up_to(model, phase.frozen)
    if config.layer_decay != 1 and not freezing.landmarks(model):
        raise UserError(f"--layer_decay goes by landmarks, and {model.name} has none: name layers stem, stage1 ….")
    if not any(phase.frozen == "features" for phase in plan):
        return {}
    return {"feature_views": views_that_fit(model, feed, config.feature_views, config.deterministic)}


def make_learner(
    model: keras.Model,
    config: TrainingOptions,
    steps: int,
    class_weights: np.ndarray | None = None,
    augment: Callable | None = None,
    frozen: Sequence[keras.Layer] = (),
) -> Learner:
    """A learner over the training view of `model`, whose layers `frozen` stay as they are, for a schedule over `steps` steps."""
    norms = freezing.normalizations(model, config.freeze_norm)
    view = accelerate(model, config.mixed_precision, [*frozen, *norms], any_size=bool(config.image_size_schedule))
    still = freezing.variables_of(frozen) + freezing.statistics_of(norms)
    return Learner(view, config, steps, class_weights, augment, still, model)


def fit(
    model: keras.Model,
    feed: Feed,
    config: TrainingOptions,
    validate: Callable[[], dict[str, float]],
    *,
    run: Run | None = None,
    resume: bool = False,
    augment: Callable | None = None,
    class_weights: np.ndarray | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    with_auxiliary: keras.Model | None = None,
    learner_of: Callable[..., Learner] = make_learner,
) -> Outcome:
    """Trains `model` in place; it ends with the best weights by `config.monitor`.

    Args:
        model: a functional Keras model in float32, pixels 0-255 to logits.
        feed: the training batches.
        config: resolved options, see `resolve`.
        validate: returns `val_loss` and `val_accuracy` of `model` as it stands, or nothing.
        run: where files go; None writes nothing.
        resume: start from the newest checkpoint of `run`, or from step 0 where there is none.
        augment: run on the device, in the step; None where the feed did it.
        class_weights: float32 of shape (classes,), or None.
        callbacks: Keras callbacks; `self.model` is the learner, `self.model.view` the training view.
        with_auxiliary: what is trained in place of `model`: the same layers, with auxiliary logits behind its own.
        learner_of: makes learners, as `make_learner` does.

    Raises:
        UserError: the loss is no longer finite, or a file can't be written.
    """
    whole = with_auxiliary or model
    keeper = Keeper(model, run, whole)
    stage_of = partial(_stage, model, whole, feed, config, validate, augment, class_weights, learner_of)
    loop = Loop(stage_of, config, keeper, callbacks)
    if resume and run:
        _resume(loop, run)
    try:
        position = loop.run()
    finally:
        keeper.settle()
    keeper.finish()
    seconds = sum(row["seconds"] for row in position.history)
    speed = statistics.median(
        row["images_per_second"] for row in position.history if row["epoch"] > position.stage_epoch
    )
    return Outcome(position.history, seconds, speed, position.best_epoch, position.rollbacks)


def _stage(
    model: keras.Model,
    whole: keras.Model,
    feed: Feed,
    config: TrainingOptions,
    validate: Callable,
    augment: Callable | None,
    class_weights: np.ndarray | None,
    learner_of: Callable[..., Learner],
    epoch: int,
) -> Stage:
    """What trains `model` in `epoch`."""
    phase = _phase_of(config, epoch)
    frozen = freezing.layers_up_to(model, phase.frozen)
    if not (phase.frozen == "features" and config.feature_views):
        learner = learner_of(whole, config, phase.epochs * feed.steps, class_weights, augment, frozen)
        return Stage(phase, learner, feed, config, validate)
    view = accelerate(whole, config.mixed_precision, frozen, any_size=bool(config.image_size_schedule))
    norms = freezing.normalizations(model, config.freeze_norm)
    kept, view = Features(view, feed, config.feature_views, validate), accelerate(head(model), frozen=norms)
    feed, validate = kept.feed(), kept.validator(view)
    config = config_module.replace(config, steps_per_execution=min(HEAD_STEPS, feed.steps))
    still = freezing.variables_of(frozen) + freezing.statistics_of(norms)
    learner = Learner(view, config, phase.epochs * feed.steps, class_weights, None, still, whole)
    return Stage(phase, learner, feed, config, validate)


def _phase_of(config: TrainingOptions, epoch: int) -> Phase:
    return next(
        phase
        for phase in phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
        if epoch < phase.stop or phase.stop == config.epochs
    )


def _resume(loop: Loop, run: Run) -> None:
    stored = checkpoint.load(run.checkpoints)
    if stored is None:
        note("There is no checkpoint yet: training starts at step 0.")
        return
    loop.resume(stored)


def _steps_per_execution(multiply_adds: int, steps: int) -> int:
    """As many steps as make a call of some 50 ms: the call itself costs about 1 ms. A rule, no clock, so that it repeats."""
    seconds = (
        6 * multiply_adds / 300e9
    )  # forward and backward are 3 x 2 operations a multiply-add; two cores do 300 GFLOP/s
    return int(np.clip(0.05 / max(seconds, 1e-9), 1, min(32, steps)))
