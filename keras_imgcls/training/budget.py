"""A time budget: the epochs that each phase of a run can have, by the speed that is measured here."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core import phases
from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.console import duration, note
from keras_imgcls.core.phases import EVERYTHING_TRAINS, Phase
from keras_imgcls.training import freezing
from keras_imgcls.training.acceleration import accelerate, choose_precision
from keras_imgcls.training.feed import Feed

SAVED_BYTES = 200e6  # per second: checkpoint (weights and two slots) and model.keras, checksums included
HEAD_STEP = 0.002  # seconds; a step of a head over kept features, whatever the model
HEAD_EPOCH = 0.1  # seconds; a new iterator and validation over kept features
TRACING = 0.03  # seconds a layer, before the first step
INFERENCE_BATCH = 32


@dataclass(frozen=True)
class Cost:
    """Seconds of a phase: once at its start (tracing, features) and of each epoch."""

    start: float
    epoch: float

    def of(self, epochs: int) -> float:
        """Seconds of `epochs` epochs."""
        return self.start + epochs * self.epoch if epochs else 0.0


def share_epochs(plan: Sequence[Phase], costs: Sequence[Cost], seconds: float) -> list[int]:
    """Epochs for each phase of `plan`, so that all together take no longer than `seconds`; none gets more than it had.

    The first phases of which each can have an epoch are kept (where nothing fits, one epoch of the first). The cheapest
    of them, as long as they take less than a third of the budget together, keep their epochs: those of a head over kept
    features. The others share what is left in proportion; what rounding leaves goes to the last ones.
    """
    kept = 1 + max((n for n in range(len(plan)) if sum(cost.of(1) for cost in costs[: n + 1]) <= seconds), default=0)
    epochs = [1] * kept + [0] * (len(plan) - kept)
    left = seconds - sum(cost.of(1) for cost in costs[:kept])
    rest, cheap = sorted(range(kept), key=lambda number: costs[number].of(plan[number].epochs)), 0.0
    while len(rest) > 1:
        cheap += costs[rest[0]].of(plan[rest[0]].epochs)
        more = plan[rest[0]].epochs - 1
        if cheap > seconds / 3 or more * costs[rest[0]].epoch > left:
            break
        left -= _extend(epochs, rest.pop(0), more, costs)
    wanted = sum((plan[number].epochs - 1) * costs[number].epoch for number in rest)
    share = min(max(left / wanted, 0.0), 1.0) if wanted else 0.0
    for number in rest:
        left -= _extend(epochs, number, int((plan[number].epochs - 1) * share), costs)
    for number in sorted(rest, reverse=True):
        possible = max(int(left / costs[number].epoch + 1e-9), 0)
        left -= _extend(epochs, number, min(possible, plan[number].epochs - epochs[number]), costs)
    return epochs


def _extend(epochs: list[int], number: int, more: int, costs: Sequence[Cost]) -> float:
    """Gives a phase `more` epochs; the seconds that they take."""
    epochs[number] += more
    return more * costs[number].epoch


def settle(
    config: TrainingOptions, model: keras.Model, feed: Feed, precision: str, speed: float
) -> dict[str, str | int | float]:
    """The flags that stand for `config.max_minutes`: epochs, phases and views of kept features that fit into it.

    Args:
        config: with `feature_views` settled.
        model: the plain model.
        feed: the training batches.
        precision: in which it trains.
        speed: images/s of training with nothing frozen.
    """
    seconds = 60 * config.max_minutes
    plan = phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
    inference = inference_speed(model, (INFERENCE_BATCH, *feed.image_shape), precision)
    views = config.feature_views
    if plan[0].frozen == "features" and views:
        # Half of the budget at most for looking at everything; one view is the least.
        views = int(np.clip(seconds / 2 * inference // feed.images, 1, views))
    costs = [_measure(phase, model, feed, config, precision, speed, inference, views) for phase in plan]
    epochs = share_epochs(plan, costs, seconds)
    fitting = phases.with_epochs(plan, epochs)
    frozen = {phase.start: f" frozen up to {phase.frozen}" for phase in fitting if phase.frozen != EVERYTHING_TRAINS}
    parts = ", ".join(f"{phase.epochs} epochs{frozen.get(phase.start, '')}" for phase in fitting)
    total = sum(cost.of(number) for cost, number in zip(costs, epochs, strict=True))
    note(f"{config.max_minutes:g} minutes at the speed here: {parts}; about {duration(total)}.")
    return {**phases.write(fitting), "feature_views": views, "max_minutes": 0.0}


def inference_speed(model: keras.Model, batch_shape: Sequence[int], precision: str) -> float:
    """Images/s of the training view in inference, from three batches behind a first one."""
    view = accelerate(model, precision)
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, batch_shape).astype("float32"))
    compute = tf.function(lambda images: view(images, training=False), autograph=False)
    compute(pixels)
    began = time.perf_counter()
    for _ in range(3):
        compute(pixels)
    return 3 * batch_shape[0] / (time.perf_counter() - began)


def _measure(
    phase: Phase,
    model: keras.Model,
    feed: Feed,
    config: TrainingOptions,
    precision: str,
    speed: float,
    inference: float,
    views: int,
) -> Cost:
    weights = 4 * sum(math.prod(variable.shape) for variable in model.variables)
    if phase.frozen == "features" and views:
        saving = 2 * weights / SAVED_BYTES
        start = (views * feed.images + feed.held_out) / inference
        return Cost(start, HEAD_EPOCH + HEAD_STEP * feed.steps + saving)
    if phase.frozen != EVERYTHING_TRAINS:
        frozen = freezing.layers_up_to(model, phase.frozen) + freezing.normalizations(model, config.freeze_norm)
        batch = (config.batch_size, *feed.image_shape)
        speed = choose_precision(model, batch, [precision], seconds=1.0, frozen=frozen)[1][precision]
    start = TRACING * len(model.layers)
    return Cost(start, feed.images / speed + feed.held_out / inference + 4 * weights / SAVED_BYTES)
