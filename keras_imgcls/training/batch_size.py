"""`--batch_size=auto`: the batch that trains fastest here, among those that fit into memory."""

import keras
import tensorflow as tf

from keras_imgcls.core import phases
from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.console import note
from keras_imgcls.data.memory import available_memory
from keras_imgcls.training import freezing, memory
from keras_imgcls.training.acceleration import choose_precision

SIZES = (16, 32, 64, 128, 256, 512, 1024)
STEPS = 16  # an epoch has at least so many
AS_FAST = 0.97  # of the best: then the smaller batch is taken, which makes more steps of an epoch
SECONDS = 3.0


def choose(model: keras.Model, config: TrainingOptions, images: int, image_shape: tuple[int, int, int]) -> int:
    """Times steps of growing batches until they fit no more, or two in a row are slower; 0 (the fixed rule) under
    `--deterministic` and for a head on kept features. What is frozen to the end is frozen here too.

    Args:
        model: the plain model; its variables are put back.
        config: precision and optimizer; `auto` precision is timed in float32 and chosen afterwards.
        images: training images of an epoch.
        image_shape: height, width, channels.
    """
    if config.deterministic:
        return 0  # the fixed rule: no clock, and no memory that happens to be free
    last = phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)[-1]  # the one that trains most
    if last.frozen == "features" and config.feature_views:
        return 0  # a head on kept features: its steps take next to nothing
    frozen = freezing.layers_up_to(model, last.frozen)
    fitting = (
        images
        if tf.config.list_physical_devices("GPU")
        else memory.estimate(model, config, images).largest_batch(available_memory())
    )
    sizes = [size for size in SIZES if size <= min(fitting, max(images // STEPS, 8))]
    precision = "float32" if config.mixed_precision == "auto" else config.mixed_precision
    speeds: dict[int, float] = {}
    for size in sizes:
        try:
            speeds[size] = choose_precision(model, (size, *image_shape), [precision], SECONDS, frozen)[1][precision]
        except tf.errors.ResourceExhaustedError:
            break
        if len(speeds) > 2 and max(list(speeds.values())[-2:]) < max(speeds.values()):
            break
    if not speeds:
        return 0
    chosen = next(size for size, speed in speeds.items() if speed >= AS_FAST * max(speeds.values()))
    note(
        "Batch size: " + ", ".join(f"{size} {speed:,.0f} images/s" for size, speed in speeds.items()) + f" -> {chosen}"
    )
    return chosen
