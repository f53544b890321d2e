"""Magnitudes: what an operation does to an image as its argument goes from nothing to all."""

import inspect
from typing import Any

import numpy as np
import tensorflow as tf

from keras_imgcls.augment import sequence
from keras_imgcls.core.registry import AUGMENTATIONS
from keras_imgcls.core.spec import Call

DRAWS = 32  # as many are looked at for the one that changes the image most


def sweep(call: Call, image: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """An image after one operation at growing magnitudes, all of one draw, and the captions.

    The arguments that grow are those of the trait `shown`, from and to, or those of `identity` up to what `call` gives them
    or their defaults. An operation without a magnitude is shown in several draws.

    Args:
        call: a registered augmentation, with arguments if need be.
        image: uint8 of shape (height, width, channels).
        steps: how many magnitudes.
        seed: of the draws.

    Returns:
        Images, uint8 of shape (steps, height, width, channels), and as many captions.

    Raises:
        UserError: an unknown operation or argument, or one that the image is too small for.
    """
    ranges = _ranges(call)
    if not ranges:
        draws = [_done(call, image, seed, np.array([draw]))[0] for draw in range(steps)]
        return np.stack(draws), [f"{call.name} {draw + 1}" for draw in range(steps)]
    most = _with(call, {name: last for name, (_, last) in ranges.items()})
    changes = np.abs(_done(most, image, seed, np.arange(DRAWS)).astype(int) - image).mean(axis=(1, 2, 3))
    images, captions = [], []
    for share in np.linspace(0, 1, steps):
        values = {name: _between(first, last, share) for name, (first, last) in ranges.items()}
        images.append(_done(_with(call, values), image, seed, changes.argmax()[None])[0])
        captions.append(f"{call.name} {' '.join(_short(values[name]) for name in _told(ranges))}")
    return np.stack(images), captions


def _ranges(call: Call) -> dict[str, tuple[Any, Any]]:
    traits, given = AUGMENTATIONS.traits(call.name), _given(call)
    shown = dict(traits.get("shown", {}))
    for name, nothing in traits.get("identity", {}).items():
        if name == "probability":  # what is drawn at all is to be seen
            shown[name] = (1, 1) if shown else (0, 1)
        elif not shown:
            shown[name] = (nothing, given[name])
    return shown


def _told(ranges: dict[str, tuple[Any, Any]]) -> list[str]:
    return [name for name, (first, last) in ranges.items() if first != last] or list(ranges)


def _given(call: Call) -> dict[str, Any]:
    """The arguments of an operation with their values, defaults included."""
    parameters = list(inspect.signature(AUGMENTATIONS.get(call.name)).parameters.values())[AUGMENTATIONS.hidden :]
    defaults = {parameter.name: parameter.default for parameter in parameters}
    return defaults | dict(zip(defaults, call.args, strict=False)) | call.kwargs


def _with(call: Call, values: dict[str, Any]) -> Call:
    return Call(call.name, (), _given(call) | values)


def _done(call: Call, image: np.ndarray, seed: int, draws: np.ndarray) -> np.ndarray:
    images = np.repeat(image[None], len(draws), axis=0)
    return sequence.build(str(call), seed)(tf.constant(images), tf.zeros([len(draws), 1]), draws, 0)[0].numpy()


def _between(first: Any, last: Any, share: float) -> Any:
    if isinstance(first, tuple):
        return tuple(_between(*pair, share) for pair in zip(first, last, strict=True))
    value = first + (last - first) * float(share)
    return round(value) if isinstance(last, int) and abs(last - first) > 1 else round(value, 3)


def _short(value: Any) -> str:
    values = dict.fromkeys(value if isinstance(value, tuple) else (value,))
    return " to ".join(f"{number:g}" for number in values)
