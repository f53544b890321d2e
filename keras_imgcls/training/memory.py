"""Memory: what training needs, held against what this process may take, before the first step."""

import math
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.memory import available_memory

# Peak memory of three steps on a CPU, TensorFlow 2.21, per image and byte of all layers' outputs: ResNet-20 0.58,
# ResNet-50 0.56, MobileNetV2 0.67 in float32, ResNet-20 0.5 in bfloat16. Not all are kept for the backward pass.
KEPT = 0.6
FIXED = 150 * 2**20  # bytes that the first step takes whatever its size: code of the kernels, threads
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


def estimate(model: keras.Model, config: TrainingOptions) -> Need:
    """What training `model` as `config` says will take: gradients, slots, averages, and outputs of layers."""
    copies = 2 + SLOTS.get(config.optimizer.partition("(")[0], 2) + (config.averaging != "none")
    size = 4 if config.mixed_precision in ("float32", "auto") else 2
    outputs = sum(
        math.prod(side or 1 for side in output.shape[1:]) for layer in model.layers for output in _outputs(layer)
    )
    return Need(FIXED + 4 * copies * model.count_params(), max(KEPT * size * outputs, 1))


def _outputs(layer: keras.Layer) -> list:
    try:
        return keras.tree.flatten(layer.output)
    except (AttributeError, ValueError):  # of a model that isn't ours: a layer that is used twice, or never
        return []


def require(model: keras.Model, config: TrainingOptions) -> None:
    """Holds the estimate against the memory that is left; a GPU's is not asked.

    Raises:
        UserError: it doesn't fit; the message has the batch size that would.
    """
    if config.ignore_memory or tf.config.list_physical_devices("GPU"):
        return
    need, available = estimate(model, config), available_memory()
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
