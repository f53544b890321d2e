"""A sequence of augmentations from its spec: `"pad_crop(4)|flip|cutout(8)"` becomes one function on batches."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import tensorflow as tf

from keras_imgcls.augment.randomness import Draws, stream
from keras_imgcls.augment.view import View
from keras_imgcls.core import arguments
from keras_imgcls.core.registry import AUGMENTATIONS
from keras_imgcls.core.spec import Call, parse_sequence

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int | tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class _Step:
    """One operation with its arguments and the key of its random numbers."""

    operation: Callable
    arguments: dict[str, Any]
    key: list[int]
    geometric: bool
    rounds: bool


def build(spec: str, seed: int, compiled: bool = False) -> Augment:
    """The function `(images, labels, ids, epoch) -> (images, labels)` that `spec` describes.

    It takes and gives images uint8 of shape (batch, height, width, channels) and labels float32 of shape (batch,
    classes); ids are int64 of shape (batch,), epoch is an integer. What becomes of a sample depends on `seed`, epoch
    and its id alone: not on the batch it is in, nor on where the function runs. `none` or nothing changes nothing.

    Args:
        spec: the operations.
        seed: of the run.
        compiled: whether XLA compiles what it does to the same pixels, for a CPU: at 224 px rotations take a fifth of the time,
            RandAugment a quarter, shifts and mirror images half, after a second or three for each shape of batch.

    Raises:
        UserError: an unknown operation or argument, a value out of its range, a seed that is not in [0, 2^64).
    """
    steps = [_step(call, seed, number) for number, call in enumerate(parse_sequence(spec))]
    parts = []
    for rounds, part in groupby(steps, lambda step: step.rounds):
        in_turn = compiled and not rounds  # another compiler would round otherwise
        run = partial(_run, tuple(part), in_turn)
        parts.append(tf.function(run, autograph=False, jit_compile=True) if in_turn else run)

    def augment(images, labels, ids, epoch):
        for part in parts:
            images = part(images, ids, tf.cast(epoch, tf.int64))
        return images, labels

    return augment


def _run(steps: tuple[_Step, ...], in_turn: bool, images: tf.Tensor, ids: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    view = View(images)
    for step in steps:
        draws = Draws(step.key, ids, epoch, in_turn)
        if step.geometric:
            view = step.operation(view, draws, **step.arguments)
        else:
            view = View(step.operation(view.pixels(), draws, **step.arguments))
    return view.pixels()


def _step(call: Call, seed: int, number: int) -> _Step:
    operation = AUGMENTATIONS.get(AUGMENTATIONS.check(call).name)
    traits = AUGMENTATIONS.traits(call.name)
    geometric, rounds = traits.get("geometric", False), traits.get("rounds", False)
    return _Step(operation, arguments.bind(operation, call, hidden=2), stream(seed, number), geometric, rounds)
