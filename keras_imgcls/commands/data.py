"""Data: a look at what a model will be shown."""

from pathlib import Path

from keras_imgcls import startup
from keras_imgcls.core import config as config_module
from keras_imgcls.core import files
from keras_imgcls.core.config import PreviewConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.registry import AUGMENTATIONS
from keras_imgcls.core.spec import Call, parse_sequence

USAGE = """Look into a dataset.

  bin/data preview --dataset=digits
  bin/data preview --data_dir=photos --augmented --output=sheet.png

With --augmented there are two sheets: images as the first epoch shows them (sheet.png), and what each operation that there
is does to one of them, from nothing to the full magnitude (sheet_operations.png)."""
CONFIG = PreviewConfig
ACTIONS = ("preview",)
STEPS = 7  # magnitudes of an operation


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

    for path, sheet, description in _sheets(config, output):
        with files.atomic(path) as temporary:
            Image.fromarray(sheet).save(temporary)
        note(f"{path}: {description}")
    return 0


def _sheets(config: PreviewConfig, output: Path):
    """Each sheet's path, its pixels (uint8 of shape (height, width, 3)) and what is on it."""
    from keras_imgcls.augment import sequence
    from keras_imgcls.data import order, pipeline, sheet
    from keras_imgcls.data.store import open_store
    from keras_imgcls.experiment.parts import load_data
    from keras_imgcls.experiment.prepare import settle_data

    samples = load_data(config, config.seed)
    config = settle_data(config if config.augmented else config_module.replace(config, augment="none"), samples)
    manifest = samples.manifest
    ids = order.epoch_order(manifest.ids("train"), config.seed, epoch=0)[: config.images]
    store = open_store(samples, config, config.image_size, config.channels)
    augment = sequence.build(config.augment, config.seed) if config.augmented else None
    plain, *_ = next(iter(pipeline.batches(store, manifest, ids[:1], 1)))
    images, labels, _ = next(iter(pipeline.batches(store, manifest, ids, len(ids), augment)))
    captions = [manifest.class_names[index] for index in labels.numpy().argmax(axis=1)]
    how = f"augmented with {config.augment}" if config.augmented else "not augmented"
    yield output, sheet.draw(images.numpy(), captions), f"{len(ids)} training images of {samples.name}, {how}"
    if config.augmented:
        swept = _operations(config, plain[0].numpy())
        yield (
            output.with_stem(f"{output.stem}_operations"),
            swept,
            "each augmentation, from nothing to all of its magnitude",
        )


def _operations(config: PreviewConfig, image):
    """A row for each registered augmentation; those of `--augment` come first, with their arguments."""
    import numpy as np

    from keras_imgcls.augment import magnitudes
    from keras_imgcls.data import sheet

    own = parse_sequence(config.augment)
    names = {call.name for call in own}
    others = [Call(name) for name in AUGMENTATIONS.names() if name not in names]
    images, captions = [], []
    for call in (*own, *others):
        try:
            swept, told = magnitudes.sweep(call, image, STEPS, config.seed)
        except UserError as error:  # the default of pad_crop is too much for tiny images
            note(f"{call.name} is not shown: {error}")
            continue
        images.extend(swept)
        captions.extend(told)
    return sheet.draw(np.stack(images), captions, columns=STEPS)
