"""JPEG: what compression leaves in a picture, computed as libjpeg does, for a batch at once and on any device.

Quality 1 to 100 scales the tables of quantization that Annex K of ITU-T T.81 proposes; colours are halved in both directions
(4:2:0), as Pillow and cameras do. Nothing is encoded: rounding is all that loses, so rounding is all that is done.
"""

from typing import Annotated

import numpy as np
import tensorflow as tf

from keras_imgcls.augment import levels
from keras_imgcls.augment.randomness import Draws
from keras_imgcls.core.arguments import Number, Several, Whole
from keras_imgcls.core.registry import AUGMENTATIONS

BLOCK = 8
# fmt: off
LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).reshape(BLOCK, BLOCK)
CHROMA = np.full((BLOCK, BLOCK), 99)
CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# fmt: on
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]])
FREQUENCIES = np.arange(BLOCK)[:, None]
DCT = np.cos((2 * np.arange(BLOCK) + 1) * FREQUENCIES * np.pi / 16) * np.where(FREQUENCIES, 0.5, np.sqrt(1 / 8))
TIE = 1e-6  # ties are rounded up by more than float64 errs, so that they are wherever they are computed


@AUGMENTATIONS.register(identity={"probability": 0}, shown={"quality": ((100, 100), (5, 5))})
def jpeg(
    images: tf.Tensor,
    draws: Draws,
    quality: Annotated[tuple[int, int], Several(Whole(1, 100), 2)] = (30, 95),
    probability: Annotated[float, Number(0, 1)] = 0.5,
) -> tf.Tensor:
    """The image after JPEG compression, with a probability.

    Args:
        images: uint8.
        draws: random numbers.
        quality: from and to, both included, on Pillow's scale.
        probability: of each sample.
    """
    qualities = draws.integers(quality[0], quality[1])[:, 0]
    chosen = draws.uniform(1) < probability
    return tf.where(tf.reshape(chosen, [-1, 1, 1, 1]), compressed(images, qualities), images)


def compressed(images: tf.Tensor, qualities: tf.Tensor) -> tf.Tensor:
    """`images` (uint8) encoded and decoded at `qualities`, int32 of shape (batch,)."""
    if images.shape[3] == 1:
        return _levels(_quantized(tf.cast(images, tf.float64), LUMA, qualities))
    luma, *chroma = tf.split(_rounded(_turned(images, TO_YCC) + np.array([0.0, 128, 128])), 3, axis=3)
    luma = _quantized(luma, LUMA, qualities)
    chroma = [_enlarged(_quantized(_halved(part), CHROMA, qualities), images.shape) - 128 for part in chroma]
    return _levels(_turned(tf.concat([luma, *chroma], axis=3), TO_RGB))


def _turned(colours: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    return tf.tensordot(tf.cast(colours, tf.float64), tf.constant(matrix.T), 1)


def _quantized(plane: tf.Tensor, table: np.ndarray, qualities: tf.Tensor) -> tf.Tensor:
    """A plane (levels in float64, of shape (batch, height, width, 1)) with the coefficients of its blocks rounded."""
    _, height, width, _ = plane.shape
    padded = _padded(plane, -height % BLOCK, -width % BLOCK)
    rows, columns = padded.shape[1] // BLOCK, padded.shape[2] // BLOCK
    blocks = tf.reshape(padded - 128, [-1, rows, BLOCK, columns, BLOCK])
    steps = _steps(table, qualities)[:, None, :, None, :]
    coefficients = _rounded(tf.einsum("ui,bricj,vj->brucv", DCT, blocks, DCT) / steps) * steps
    plain = _rounded(tf.einsum("ui,brucv,vj->bricj", DCT, coefficients, DCT) + 128)
    return tf.reshape(tf.clip_by_value(plain, 0, 255), [-1, *padded.shape[1:]])[:, :height, :width]


def _steps(table: np.ndarray, qualities: tf.Tensor) -> tf.Tensor:
    """The steps of quantization, float64 of shape (batch, 8, 8), scaled as libjpeg's `jpeg_quality_scaling` does."""
    percent = tf.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)[:, None, None]
    return tf.cast(tf.clip_by_value((table.astype(np.int32) * percent + 50) // 100, 1, 255), tf.float64)


def _halved(plane: tf.Tensor) -> tf.Tensor:
    """The means of 2 x 2 pixels; halves are rounded down and up in turns, along a row."""
    plane = _padded(plane, plane.shape[1] % 2, plane.shape[2] % 2)
    total = plane[:, ::2, ::2] + plane[:, 1::2, ::2] + plane[:, ::2, 1::2] + plane[:, 1::2, 1::2]
    bias = 1 + np.arange(total.shape[2]) % 2
    return tf.floor((total + bias[:, None]) / 4)


def _enlarged(plane: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Twice the size by a triangle filter, as libjpeg's `fancy upsampling`: near pixels weigh 3, far ones 1."""
    down = _doubled(plane, 1)
    across = _doubled(down, 2)
    bias = 8 - np.arange(across.shape[2]) % 2
    return tf.floor((across + bias[:, None]) / 16)[:, : shape[1], : shape[2]]


def _doubled(plane: tf.Tensor, axis: int) -> tf.Tensor:
    places = np.arange(plane.shape[axis])
    before = tf.gather(plane, np.maximum(places - 1, 0), axis=axis)
    after = tf.gather(plane, np.minimum(places + 1, len(places) - 1), axis=axis)
    pairs = tf.stack([3 * plane + before, 3 * plane + after], axis=axis + 1)
    return tf.reshape(pairs, [-1, *(size * (1 + (at == axis)) for at, size in enumerate(plane.shape) if at)])


def _padded(plane: tf.Tensor, down: int, across: int) -> tf.Tensor:
    """`plane` with its last row and column repeated."""
    rows = np.minimum(np.arange(plane.shape[1] + down), plane.shape[1] - 1)
    columns = np.minimum(np.arange(plane.shape[2] + across), plane.shape[2] - 1)
    return tf.gather(tf.gather(plane, rows, axis=1), columns, axis=2)


def _rounded(numbers: tf.Tensor) -> tf.Tensor:
    """Whole numbers, halves away from zero."""
    return tf.sign(numbers) * tf.floor(tf.abs(numbers) + 0.5 + TIE)


def _levels(numbers: tf.Tensor) -> tf.Tensor:
    return levels.rounded(_rounded(numbers))
