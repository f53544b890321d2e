"""The lesson: a run's training images once more, in its batches, for what is fine-tuned before it leaves the house."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.run import Run
from keras_imgcls.data.store import open_store
from keras_imgcls.evaluation import held_out
from keras_imgcls.experiment import prepare
from keras_imgcls.training.feed import Feed


@dataclass(frozen=True)
class Lesson:
    """What fine-tuning trains with: the run's batches, its augmentation where that runs in the step, and its flags."""

    feed: Feed
    augment: Callable | None
    config: TrainConfig


def lesson(run: Run) -> Lesson:
    """The training images of `run`, in its batches and with its augmentation.

    Raises:
        UserError: the data of the run is gone or has changed.
    """
    config = config_module.replace(run.config, image_size_schedule="")
    samples, ids = held_out.own_samples(run, "train", on_bad_image="exclude")
    own = np.isin(np.arange(len(samples.manifest)), ids)
    manifest = config_module.replace(samples.manifest, splits=np.where(own, "train", ""))
    samples = config_module.replace(samples, manifest=manifest)
    store = open_store(samples, config, config.image_size, config.channels, config.deterministic)
    on_device, augment = config.augment_on == "device", prepare.augmentation(config)
    feed = prepare.training_feed(config, samples, store, None if on_device else augment)
    return Lesson(feed, augment if on_device else None, config)
