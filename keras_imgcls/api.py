"""The Python face: a dozen names for a notebook. Each is a thin layer over the rooms that the commands use too."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import ExportConfig, TrainConfig
from keras_imgcls.core.registry import AUGMENTATIONS, DATASETS, LOSSES, MIXES, MODELS
from keras_imgcls.core.run import Run, open_run

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from keras_imgcls.data.samples import Samples

register_model = MODELS.register
register_dataset = DATASETS.register
register_augmentation = AUGMENTATIONS.register
register_loss = LOSSES.register
register_mix = MIXES.register


def list_models() -> list[str]:
    """The names that `build`, `train` and `--model` know."""
    return MODELS.names()


def load_data(dataset: str | Path, **options: Any) -> "Samples":
    """The samples of a dataset: images, labels, class names and splits.

    Args:
        dataset: `digits`, `cifar10`, `tfds:NAME`, or a folder of class folders.
        **options: any data flag of `bin/train` by its name, and `seed`, which chooses the splits.

    Raises:
        UserError: the data can't be found or read.
    """
    from keras_imgcls.experiment import parts

    config = _config(dataset, options)
    return parts.load_data(config, config.seed)


def build(model: str, image_shape: tuple[int, int, int], classes: int, **options: Any) -> "keras.Model":
    """A functional Keras model from pixels 0-255 of `image_shape` (height, width, channels) to logits of shape (classes,).

    Args:
        model: a name, with arguments if you like: `resnet20(width=32)`.
        image_shape: height and width in pixels, and channels.
        classes: the number of classes.
        **options: `scaling`, as `models.classifier.build` takes it.

    Raises:
        UserError: an unknown model, or an image that is too small for it.
    """
    from keras_imgcls.models import classifier

    return classifier.build(model, image_shape, classes, **options)


def train(
    model: "str | keras.Model",
    dataset: "str | Path | tf.data.Dataset",
    *,
    validation: "tf.data.Dataset | None" = None,
    class_names: Sequence[str] = (),
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    **options: Any,
) -> Run:
    """Trains and returns the run, as `bin/train` does.

    Args:
        model: a name with or without arguments, or any functional Keras model from pixels 0-255 to logits.
        dataset: `digits`, `cifar10`, `tfds:NAME`, a folder of class folders, or a `tf.data.Dataset` of (images, labels):
            pixels 0-255 of shape (batch, height, width, channels) or unbatched, labels as class indices or float vectors.
        validation: validates where `dataset` is a `tf.data.Dataset`.
        class_names: the names of the classes; needed for a `tf.data.Dataset`.
        callbacks: Keras callbacks.
        **options: any flag of `bin/train` by its name.

    A model or dataset made in Python has promises that fall away: `config.flags` can't repeat it, and a `tf.data.Dataset` has no
    ids and no manifest, so a resume in mid-epoch skips batches by count, which is exact only if the dataset's order is, and
    no augmentation is applied to it.

    Raises:
        UserError: anything that the caller can mend.
    """
    from keras_imgcls.experiment import external, folds
    from keras_imgcls.experiment import train as experiment

    named = model if isinstance(model, str) else external.NAME
    own_model = None if isinstance(model, str) else model
    if isinstance(dataset, (str, Path)):
        config = _config(dataset, {"model": named, **options})
        run = folds.cross_validate if config.every_fold else experiment.train
        return run(config, model=own_model, callbacks=callbacks)
    config = TrainConfig(model=named, dataset=external.NAME, **options)
    return external.train(config, dataset, validation, class_names, model=own_model, callbacks=callbacks)


def evaluate(run: Run | str | Path, split: str = "test") -> dict[str, Any]:
    """The metrics of a run on one of its splits, as in `metrics.json`; files lie in `RUN/evaluation/SPLIT`.

    Raises:
        UserError: there is no such run, or no such split.
    """
    from keras_imgcls.commands import evaluate as command
    from keras_imgcls.core.config import EvaluateConfig

    return command.evaluate(EvaluateConfig(run_dir=str(_path(run)), split=split)).summary()


def export(run: Run | str | Path, **options: Any) -> Path:
    """Exports a run as SavedModel and TFLite, compares each with the Keras model, and returns the folder.

    Args:
        run: the run or its folder.
        **options: any flag of `bin/export` by its name.

    Raises:
        UserError: an export does not agree with the model.
    """
    from keras_imgcls.commands import export as command

    return command.export(ExportConfig(run_dir=str(_path(run)), **options))


def _config(dataset: str | Path, options: dict[str, Any]) -> TrainConfig:
    name = str(dataset)
    known = name.startswith("tfds:") or name in DATASETS.names()
    where = {"dataset": name} if known and not isinstance(dataset, Path) else {"data_dir": name}
    config = TrainConfig(**{**where, **options})
    config_module.options.check(config)
    return config


def _path(run: Run | str | Path) -> Path:
    return run.path if isinstance(run, Run) else open_run(run).path
