"""Test-time augmentation: the weighted mean of a model's logits over several views of an image."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_imgcls.augment import sequence
from keras_imgcls.augment.view import View, reflect

# (mirrored, shift down and right in pixels, weight): the views of the CIFAR-10 speed runs (Jordan 2024, 3.6).
MIRROR = ((False, 0, 0.5), (True, 0, 0.5))
MIRROR_SHIFT = (
    *((mirrored, 0, 0.25) for mirrored in (False, True)),
    *((mirrored, shift, 0.125) for mirrored in (False, True) for shift in (-1, 1)),
)
PRESETS = {"mirror": MIRROR, "mirror_shift": MIRROR_SHIFT}


@dataclass(frozen=True)
class Views:
    """How an image is seen.

    Attributes:
        weights: of the views; they sum to 1.
        of: `(images, ids) -> views`, as many batches (uint8, shaped as `images`) as there are weights.
    """

    weights: tuple[float, ...]
    of: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]


def build(spec: str, count: int, seed: int) -> Views | None:
    """The views that `spec` describes; None for `none`.

    Args:
        spec: `none`; `mirror`, the image and its mirror image; `mirror_shift`, both also moved by a pixel each way along the
            diagonal; or a sequence of augmentations, of which each view is another draw, equal for all batches and runs.
        count: number of draws of a sequence; the others have their own number.
        seed: of the draws.

    Raises:
        UserError: an unknown operation or argument, a value out of its range.
    """
    if spec == "none":
        return None
    if spec in PRESETS:
        *_, weights = zip(*PRESETS[spec], strict=True)
        return Views(weights, lambda images, ids: [_moved(images, *move) for *move, _ in PRESETS[spec]])
    augment = sequence.build(spec, seed)
    no_labels = tf.zeros([0])
    return Views(
        (1 / count,) * count,
        lambda images, ids: [augment(images, no_labels, ids, number)[0] for number in range(count)],
    )


def _moved(images: tf.Tensor, mirrored: bool, shift: int) -> tf.Tensor:
    view = View(tf.convert_to_tensor(images))
    if mirrored:
        view = view.through(columns=lambda columns: view.width - 1 - columns)
    if shift:
        view = view.through(
            lambda rows: reflect(rows + shift, view.height), lambda columns: reflect(columns + shift, view.width)
        )
    return view.pixels()
