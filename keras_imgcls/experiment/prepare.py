"""What an experiment needs before its first step: data, a store of pixels, a model, and every `auto` settled."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.augment import mix, presets, progressive, sequence
from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.model_arguments import settle_model
from keras_imgcls.data import order, pipeline
from keras_imgcls.data.samples import Samples
from keras_imgcls.data.store import Store, open_store
from keras_imgcls.data.tuner import without_tuner
from keras_imgcls.experiment.parts import Parts
from keras_imgcls.models import auxiliary, classifier, pretrained
from keras_imgcls.models.pretrained import Origin
from keras_imgcls.training import batch_size, fit
from keras_imgcls.training.feed import Feed

COMPILED_PIXELS = 2**29  # augmented in a run: by then XLA has saved several times what compiling a policy took
STATISTICS_IMAGES, STATISTICS_PIXELS = 5_000, 2**24
VIEW_BATCH = 32


@dataclass(frozen=True)
class Prepared:
    """Everything that is ready before the first step."""

    config: TrainConfig
    samples: Samples
    store: Store
    model: keras.Model
    feed: Feed
    augment: Callable | None
    class_weights: np.ndarray | None
    first_weights: str


def _require_validation(config: TrainConfig, samples: Samples) -> None:
    if config.early_stopping and config.monitor.startswith("val_") and not len(samples.manifest.ids("validation")):
        raise UserError(
            f"--early_stopping watches {config.monitor}, and there is no validation split: give --validation_fraction."
        )


def prepare(config: TrainConfig, model: keras.Model | None = None, parts: Parts | None = None) -> Prepared:
    """Loads data, builds the model (unless one is given) and settles what `auto` left open.

    Raises:
        UserError: the data can't be read, the model does not fit it, or a value is wrong.
    """
    if config.every_fold:
        raise UserError(f"--folds={config.folds} is {config.folds} trainings: name one of them with --fold=1.")
    fit.seed_everything(config.seed, config.deterministic)
    config = settle_model(config)
    origin = find_origin(config, model)
    config = settle_origin(config, origin)
    parts = parts or Parts()
    samples = parts.data(config, config.seed)
    _require_validation(config, samples)
    config = settle_data(config, samples)
    store = open_store(samples, config, config.image_size, config.channels, config.deterministic)
    config = config_module.replace(config, cache=store.place)
    first_weights = "given weights"
    if model is None:
        built, first_weights = build_model(config, samples, store, origin)
        model = parts.network(built)
    config = settle_steps(config, len(samples.manifest.ids("train")), model)
    on_device = config.augment_on == "device"
    pixels = len(samples.manifest.ids("train")) * store.shape[0] * store.shape[1] * config.epochs
    augment = augmentation(config, compiled=not on_device and pixels >= COMPILED_PIXELS)
    feed = training_feed(config, samples, store, None if on_device else augment)
    config = fit.resolve(config, model, feed, classifier.describe(model).macs)
    weights = balanced_weights(samples) if config.class_weight == "balanced" else None
    return Prepared(config, samples, store, model, feed, augment if on_device else None, weights, first_weights)


def augmentation(config: TrainConfig, compiled: bool = False) -> Callable:
    """`(images, labels, ids, epoch) -> (images, labels)`: what is done to each sample, then what mixes two."""
    single = sequence.build(config.augment, config.seed, compiled)
    # The flag counts epochs from 1, as people do; from the first one on is never.
    off_epoch = max(config.mix_off_epoch - 1, 0)
    mixing = mix.build_mix(config.mix, config.seed, off_epoch, compiled) if config.mix_off_epoch != 1 else None
    if mixing is None:
        return single

    def augment(images, labels, ids, epoch):
        return mixing(*single(images, labels, ids, epoch), ids, epoch)

    return augment


def find_origin(config: TrainConfig, model: keras.Model | None = None) -> Origin | None:
    """Where `--pretrained` or `--init_from` say that first weights come from; None for random ones, or those of `model`.

    Raises:
        UserError: there are none such, or they are to go into a model that was made in Python.
    """
    if model is not None and (config.pretrained or config.init_from):
        raise UserError("--pretrained and --init_from are for models by name; a model made in Python has its weights.")
    return pretrained.origin(config.model, config.pretrained, config.init_from, config.cache_dir, config.trust_file)


def settle_origin(config: TrainConfig, origin: Origin | None) -> TrainConfig:
    """`config` with what first weights ask for: of class folders their image size, and always their channels."""
    if origin is None:
        return config
    own_size = 0 if config.dataset else origin.image_size
    changes = {"image_size": config.image_size or own_size, "channels": config.channels or origin.channels}
    for name in ("pretrained", "init_from"):  # the run's flags work from any folder
        value = getattr(config, name)
        if value and value != config_module.IMAGENET:
            changes[name] = str(Path(value).expanduser().resolve())
    return config_module.replace(config, **changes)


def settle_data(config: Any, samples: Samples) -> Any:
    """`config` with image size, channels, augmentation and where it runs settled."""
    size, _, channels = samples.own_shape
    changes: dict[str, Any] = {
        "image_size": config.image_size or size,
        "channels": config.channels or channels,
    }
    _require_smaller(getattr(config, "image_size_schedule", ""), changes["image_size"])
    if config.data_dir:  # the run's flags work from any folder
        changes["data_dir"] = str(Path(config.data_dir).expanduser().resolve())
    if config.augment_on == "auto":
        changes["augment_on"] = "device" if tf.config.list_physical_devices("GPU") else "host"
    mirrored = samples.mirrored if config.mirror_images == "auto" else config.mirror_images == "on"
    changes["augment"] = presets.resolve(config.augment, changes["image_size"], mirrored) or "none"
    if config.augment not in ("none", changes["augment"]) and not mirrored and config.mirror_images == "auto":
        note(
            f"No mirror images: they may change the class in {samples.name}. --mirror_images=on makes them all the same."
        )
    return config_module.replace(config, **changes)


def _require_smaller(schedule: str, image_size: int) -> None:
    for _, size in config_module.image_sizes(schedule):
        if size > image_size:
            raise UserError(f"--image_size_schedule is for images below --image_size={image_size}; received {size}.")


def settle_steps(config: TrainConfig, images: int, model: keras.Model | None = None) -> TrainConfig:
    """`config` with batch size and learning rate settled for a number of training images; `auto` times `model`."""
    if config.batch_size == config_module.AUTO:
        size = batch_size.choose(model, config, images, model.input_shape[1:]) if model else 0
        config = config_module.replace(config, batch_size=size)
    fitting = 2 ** int(np.log2(max(images // 16, 1)))
    size = min(config.batch_size or int(np.clip(fitting, 8, 128)), images)
    usual = 0.1 * size / 128 if config.optimizer == "sgd" else 0.001  # Goyal et al. 2017: in proportion
    return config_module.replace(config, batch_size=size, learning_rate=config.learning_rate or usual)


def build_model(
    config: TrainConfig, samples: Samples, store: Store, origin: Origin | None = None
) -> tuple[keras.Model, str]:
    """The classifier with its first weights and scaling, and where those come from.

    They are `origin`'s; without one, weights are random, and scaling and any data-dependent layer are set from training
    images.

    Raises:
        UserError: the weights of `origin` don't fit the model.
    """
    names = samples.manifest.class_names
    images = _some_training_images(samples, store)
    statistics = channel_statistics(images)
    if origin:
        return origin.build(config.model, store.shape, names, statistics)
    model = classifier.build(config.model, store.shape, len(names), statistics)
    classifier.initialize(model, config.model, images)
    return model, "random weights"


def with_auxiliary(config: TrainConfig, model: keras.Model) -> keras.Model | None:
    """`model` with its auxiliary heads, where `config` gives them a weight."""
    return auxiliary.with_heads(model, config.model) if config.auxiliary_weight else None


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (at least 1) of each channel, grey levels, from uint8 images of any number."""
    levels = np.arange(256)
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        # From a histogram: NumPy's own `std` makes a float64 copy of all pixels.
        shares = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        means.append(float(shares @ levels))
        deviations.append(max(float(np.sqrt(shares @ (levels - means[-1]) ** 2)), 1.0))
    return means, deviations


def _some_training_images(samples: Samples, store: Store) -> np.ndarray:
    """Training images (uint8) spread over the split: up to 5,000, and up to 17 million pixels."""
    ids = samples.manifest.ids("train")
    count = int(np.clip(STATISTICS_PIXELS // (store.shape[0] * store.shape[1]), 1, STATISTICS_IMAGES))
    ids = ids[:: max(1, len(ids) // count)][:count]
    return np.concatenate([images.numpy() for images, _ in without_tuner(store.dataset(ids, 500))])


def training_feed(config: TrainConfig, samples: Samples, store: Store, augment: Callable | None) -> Feed:
    """Batches by epoch: the order is a function of seed and epoch, so that any step can be the first one."""
    ids = samples.manifest.ids("train")
    size = config.batch_size
    steps = len(ids) // size

    sizes = config_module.image_sizes(config.image_size_schedule)
    augment_of, single = progressive.by_epoch(augment, sizes), sequence.build(config.augment, config.seed)

    def batches(epoch: int, first_step: int) -> tf.data.Dataset:
        stream = order.epoch_order(ids, config.seed, epoch)[first_step * size : steps * size]
        return pipeline.batches(store, samples.manifest, stream, size, augment_of(epoch), epoch, drop_remainder=True)

    def view(number: int) -> tf.data.Dataset:
        # View 0 is the image itself; all have its size: they are computed once, for a head that is validated at that size.
        return pipeline.batches(store, samples.manifest, ids, VIEW_BATCH, single if number else None, number)

    def rows(epoch: int) -> np.ndarray:
        return order.epoch_order(np.arange(len(ids)), config.seed, epoch)[: steps * size]

    held_out, classes = len(samples.manifest.ids("validation")), len(samples.manifest.class_names)
    return Feed(batches, steps, steps * size, store.shape, classes, held_out, view, rows)


def evaluation_batches(samples: Samples, store: Store, split: str, batch_size: int) -> tf.data.Dataset:
    """Every image of a split once, in the order of ids, never augmented."""
    return pipeline.batches(store, samples.manifest, samples.manifest.ids(split), batch_size)


def balanced_weights(samples: Samples) -> np.ndarray:
    """Weights of classes by the inverse of their frequency in the training split, 1 on average over the images."""
    counts = samples.manifest.labels[samples.manifest.ids("train")].sum(axis=0)
    return (counts.sum() / (len(counts) * np.maximum(counts, 1.0))).astype(np.float32)
