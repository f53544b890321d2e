"""Data: a look at what a model will be shown."""

from pathlib import Path

from keras_imgcls import startup
from keras_imgcls.core import config as config_module
from keras_imgcls.core import files
from keras_imgcls.core.config import PreviewConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.plugins import load_plugins

USAGE = """Look into a dataset.

  bin/data preview --dataset=digits
  bin/data preview --data_dir=photos --augmented --output=sheet.png"""
CONFIG = PreviewConfig
ACTIONS = ("preview",)


def run(config: PreviewConfig, action: str, argument: str = "") -> int:
    """Writes a sheet of training images with their labels, in the order and the augmentation of the first epoch."""
    if argument:
        raise UserError(f"Unexpected argument '{argument}': bin/data {action} takes flags, --name=value. See --help.")
    load_plugins(config.plugin)
    config_module.check(config)
    output = Path(config.output)
    if output.suffix.lower() != ".png":
        raise UserError(f"--output ends in .png; received '{config.output}'.")
    startup.tensorflow(config.tensorflow_log)
    from PIL import Image

    sheet, description = _preview(config)
    with files.atomic(output) as temporary:
        Image.fromarray(sheet).save(temporary)
    note(f"{output}: {description}")
    return 0


def _preview(config: PreviewConfig):
    """The sheet, uint8 of shape (height, width, 3), and what is on it."""
    from keras_imgcls.augment import sequence
    from keras_imgcls.data import order, pipeline, sheet
    from keras_imgcls.data.store import open_store
    from keras_imgcls.experiment.prepare import load_data, settle_data

    samples = load_data(config, config.seed)
    config = settle_data(config, samples)
    manifest = samples.manifest
    ids = order.epoch_order(manifest.ids("train"), config.seed, epoch=0)[: config.images]
    store = open_store(samples, config, config.image_size, config.channels)
    augment = sequence.build(config.augment, config.seed) if config.augmented else None
    images, labels, _ = next(iter(pipeline.batches(store, manifest, ids, len(ids), augment)))
    captions = [manifest.class_names[index] for index in labels.numpy().argmax(axis=1)]
    how = f"augmented with {config.augment}" if config.augmented else "not augmented"
    return sheet.draw(images.numpy(), captions), f"{len(ids)} training images of {samples.name}, {how}"
