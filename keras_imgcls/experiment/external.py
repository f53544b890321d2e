"""Models and datasets that were made in Python: trained by the same `fit`, with the promises that need ids left out."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_imgcls.core import config as config_module
from keras_imgcls.core import files, options
from keras_imgcls.core import run as run_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.model_arguments import settle_model
from keras_imgcls.core.run import Run
from keras_imgcls.data.tuner import without_tuner
from keras_imgcls.experiment import prepare
from keras_imgcls.experiment.environment import environment
from keras_imgcls.models import classifier
from keras_imgcls.training import fit
from keras_imgcls.training.callbacks import TensorBoard
from keras_imgcls.training.feed import Feed
from keras_imgcls.training.validation import Validator

NAME = "external"  # stands in config.flags for what only exists in Python


def train(
    config: TrainConfig,
    dataset: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    class_names: Sequence[str],
    model: keras.Model | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Trains on a `tf.data.Dataset`; see `keras_imgcls.train`. `metrics.json` has no test numbers: there is no test split.

    Raises:
        UserError: the dataset has no class names or some that are no lines of text, no known size of images, or no batch.
    """
    config_module.options.check(config)
    if config.folds:
        raise UserError("--folds takes a dataset by name or a folder: the images of a tf.data.Dataset have no names.")
    if not class_names:
        raise UserError("A tf.data.Dataset has no class names: give class_names=[...], in the order of the labels.")
    run_module.require_names(class_names)
    fit.seed_everything(config.seed, config.deterministic)
    feed = _feed(dataset, len(class_names), config.batch_size or 32)
    height, _, channels = feed.image_shape
    batch_size = -(-feed.images // feed.steps)
    settled = {
        "image_size": height,
        "channels": channels,
        "augment": "none",
        "mix": "none",
        "augment_on": "host",
        "batch_size": batch_size,
    }
    config = prepare.settle_steps(config_module.replace(config, **settled), feed.images)
    origin = prepare.find_origin(config, model)
    if origin:
        model, _ = origin.build(config.model, feed.image_shape, class_names)
    config = settle_model(config)
    model = model or classifier.build(config.model, feed.image_shape, len(class_names))
    config = fit.resolve(config, model, feed, classifier.describe(model).macs)
    run = run_module.create(run_module.path_of(config), config.overwrite)
    run.write_class_names(class_names)
    files.write_json(run.environment, environment())
    files.write_text(run.flags, options.write_flagfile(config))
    held_out = None if validation is None else _batched(validation, len(class_names), config.batch_size)
    validate = Validator(model, held_out)
    board = TensorBoard(run.tensorboard)
    heads = prepare.with_auxiliary(config, model)
    outcome = fit.fit(model, feed, config, validate, run=run, callbacks=[board, *callbacks], with_auxiliary=heads)
    results = (
        {"validation": {name.removeprefix("val_"): value for name, value in validate().items()}}
        if validation is not None
        else {}
    )
    files.write_json(run.metrics, {**results, "training": outcome.summary()})
    return run


def _feed(dataset: tf.data.Dataset, classes: int, batch_size: int) -> Feed:
    batches = _batched(dataset, classes, batch_size)
    shape = tuple(batches.element_spec[0].shape[1:])
    if None in shape or len(shape) != 3:
        raise UserError(f"Expected images of one known shape (height, width, channels), received {shape}.")
    sizes = [len(images) for images, *_ in without_tuner(batches)]
    if not sizes:
        raise UserError("The dataset has no images.")

    @tf.autograph.experimental.do_not_convert
    def with_ids(images, labels):
        return images, labels, tf.zeros(tf.shape(images)[0], tf.int64)

    numbered = batches.map(with_ids)
    return Feed(
        lambda epoch, first: numbered.skip(first).prefetch(tf.data.AUTOTUNE), len(sizes), sum(sizes), shape, classes
    )


def _batched(dataset: tf.data.Dataset, classes: int, batch_size: int) -> tf.data.Dataset:
    images = dataset.element_spec[0]
    dataset = dataset if images.shape.rank == 4 else dataset.batch(batch_size)

    @tf.autograph.experimental.do_not_convert
    def as_vectors(images, labels):
        if labels.dtype.is_integer and labels.shape.rank < 2:
            labels = tf.one_hot(labels, classes)
        return images, tf.cast(labels, tf.float32)

    return dataset.map(as_vectors)
