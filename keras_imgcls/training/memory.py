"""Memory: what training needs, held against what this process may take, before the first step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_imgcls.core import phases
from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.memory import available_memory
from keras_imgcls.training import freezing
from keras_imgcls.training.features import pooled

# Peak memory of three steps on a CPU, TensorFlow 2.21, per image and byte of all layers' outputs: ResNet-20 0.58,
# ResNet-50 0.56, MobileNetV2 0.67 in float32, ResNet-20 0.5 in bfloat16. Not all are kept for the backward pass.
KEPT = 0.6
FIXED = 150 * 2**20  # bytes that the first step takes whatever its size: code of the kernels, threads
FEATURES_BATCH = 32  # images, of which features are computed at once
SLOTS = {"sgd": 1, "adamw": 2}


@dataclass(frozen=True)
class Need:
    """Bytes that training takes beyond the model: `fixed`, and `image` for each of a batch."""

    fixed: float
    image: float

    def of(self, batch_size: int) -> float:
        """Bytes at a batch size."""
        return self.fixed + self.image * batch_size

    def largest_batch(self, available: float) -> int:
        """The largest power of two whose batch fits into `available` bytes; 0 where not even one image does."""
        fitting = int((available - self.fixed) // self.image)
        return 2 ** (fitting.bit_length() - 1) if fitting > 0 else 0


def estimate(model: keras.Model, config: TrainingOptions, images: int = 0) -> Need:
    """What training `model` as `config` says will take in the phase that takes most.

    What trains has gradients, slots and averages, and keeps outputs of layers for the backward pass; what is frozen lets
    go of each output once the next layer has it. The weights are there twice more: the best ones, and those that a
    checkpoint is written from, with slots and averages.

    Args:
        images: of an epoch; their features are kept while the whole body is frozen.
    """
    plan = phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
    needs = [_need(model, config, images, phase.frozen) for phase in plan]
    return Need(max(need.fixed for need in needs), max(need.image for need in needs))


def _need(model: keras.Model, config: TrainingOptions, images: int, landmark: str) -> Need:
    frozen = freezing.layers_up_to(model, landmark)
    behind = [layer for layer in model.layers if not any(layer is still for still in frozen)]
    slots = SLOTS.get(config.optimizer.partition("(")[0], 2) + (config.averaging != "none")
    trained = sum(math.prod(weight.shape) for layer in behind for weight in layer.trainable_weights)
    fixed = FIXED + 4 * (2 * model.count_params() + (1 + 2 * slots) * trained)
    size = 4 if config.mixed_precision in ("float32", "auto") else 2
    kept = KEPT * size * sum(_values(_tensors(layer, "output")) for layer in behind)
    passing = size * max((_values(_tensors(layer, "input", "output")) for layer in frozen), default=0)
    if landmark == "features" and config.feature_views:
        features = 4 * _values([pooled(model)]) * images * config.feature_views
        return Need(fixed + FEATURES_BATCH * passing + features, max(kept, 1))
    return Need(fixed, max(kept + passing, 1))


def _tensors(layer: keras.Layer, *ends: str) -> list[keras.KerasTensor]:
    try:
        return [tensor for end in ends for tensor in keras.tree.flatten(getattr(layer, end))]
    except (AttributeError, ValueError):  # of a model that isn't ours: a layer that is used twice, or never
        return []


def _values(tensors: Sequence[keras.KerasTensor]) -> int:
    """How many values an image has in `tensors`."""
    return sum(math.prod(side or 1 for side in tensor.shape[1:]) for tensor in tensors)


def require(model: keras.Model, config: TrainingOptions, images: int = 0) -> None:
    """Holds the estimate (see there) against the memory that is left; a GPU's is not asked.

    Raises:
        UserError: it doesn't fit; the message has the batch size that would.
    """
    if config.ignore_memory or tf.config.list_physical_devices("GPU"):
        return
    need, available = estimate(model, config, images), available_memory()
    if need.of(config.batch_size) <= available:
        return
    fitting = need.largest_batch(available)
    advice = f"--batch_size={fitting} would fit" if fitting else "not even one image fits: take a smaller model"
    raise UserError(
        f"A step with {config.batch_size} images needs about {_gib(need.of(config.batch_size))}, and {_gib(available)} are "
        f"left: {advice}. (--ignore_memory trains all the same.)"
    )


def exhausted(config: TrainingOptions) -> str:
    """What to tell when a step ran out of memory all the same."""
    half = max(config.batch_size // 2, 1)
    return (
        f"Out of memory in a step with {config.batch_size} images. Try --batch_size={half}, --batch_size=auto, or a smaller "
        "--image_size; what was saved stands."
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
