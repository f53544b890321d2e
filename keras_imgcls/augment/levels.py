"""Arithmetic on grey levels: what Pillow's ImageEnhance and ImageOps compute, for a batch at once.

Images are uint8 of shape (batch, height, width, channels), numbers per sample are of shape (batch,). What maps a grey
level to a grey level is computed for 256 levels and looked up. Sums are of numbers that float32 or int32 hold exactly,
so that levels are the same wherever they are computed.
"""

import numpy as np
import tensorflow as tf

LEVELS = np.arange(256)
FACTOR_STEPS = 2**12  # a factor times a level has 8 + 12 bits and a sign: exact in float32


def blended(flat: tf.Tensor | float, levels: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """`flat` at factor 0, `levels` at factor 1, further the same way above: uint8, cut as Pillow's `Image.blend` does.

    Levels are float32; factors are rounded to 2^-12 and get as many axes as `levels` has.
    """
    factors = tf.round(tf.cast(factors, tf.float32) * FACTOR_STEPS) / FACTOR_STEPS
    factors = tf.reshape(factors, [-1] + [1] * (levels.shape.rank - 1))
    return tf.cast(tf.clip_by_value(flat + factors * (levels - flat), 0, 255), tf.uint8)


def grey(images: tf.Tensor) -> tf.Tensor:
    """Luma by ITU-R 601-2, as Pillow's mode `L`: float32 of shape (batch, height, width, 1), whole numbers."""
    if images.shape[-1] == 1:
        return tf.cast(images, tf.float32)
    red, green, blue = (tf.cast(levels, tf.float32) for levels in tf.split(images, 3, axis=-1))
    return tf.floor((red * 19595 + green * 38470 + blue * 7471 + 32768) * 2.0**-16)  # sums below 2^24


def looked_up(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """`tables[b, c, level]` for each level: tables are uint8 of shape (batch, channels or 1, 256)."""
    batch, channels = tf.shape(images)[0], images.shape[-1]
    first = tf.reshape(tf.range(batch), [-1, 1, 1, 1]) * (256 * tables.shape[1])
    if tables.shape[1] > 1:
        first += np.arange(channels, dtype=np.int32) * 256
    return tf.gather(tf.reshape(tables, [-1]), tf.cast(images, tf.int32) + first)


def brightened(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Levels times a factor: black at 0."""
    return blended(0.0, tf.cast(images, tf.float32), factors)


def contrasted(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Levels further from, or nearer to, the mean of the grey image: that mean at factor 0."""
    pixels = images.shape[1] * images.shape[2]
    total = tf.reduce_sum(tf.cast(grey(images), tf.int32), axis=[1, 2, 3])
    mean = tf.cast((2 * total + pixels) // (2 * pixels), tf.float32)
    return blended(tf.reshape(mean, [-1, 1, 1, 1]), tf.cast(images, tf.float32), factors)


def saturated(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Colours further from, or nearer to, grey: the grey image at factor 0."""
    if images.shape[-1] == 1:
        return images
    return blended(grey(images), tf.cast(images, tf.float32), factors)


def sharpened(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Levels further from, or nearer to, the mean of 3 x 3 pixels, the middle one with weight 5; borders stay."""
    levels = tf.cast(images, tf.float32)
    rows = levels[:, :-2] + levels[:, 1:-1] + levels[:, 2:]
    inner = levels[:, 1:-1, 1:-1]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * inner
    smooth = tf.floor(total / 13 + 0.5)  # at least 1/26 from the next whole number
    return blended(levels + tf.pad(smooth - inner, [[0, 0], [1, 1], [1, 1], [0, 0]]), levels, factors)


def inverted(images: tf.Tensor) -> tf.Tensor:
    """The negative."""
    return 255 - images


def solarized(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """The negative of levels at or above a threshold (float32: 0 inverts all, 256 none)."""
    bright = LEVELS.astype(np.float32) >= tf.reshape(tf.cast(thresholds, tf.float32), [-1, 1, 1])
    return looked_up(images, tf.cast(tf.where(bright, 255 - LEVELS, LEVELS), tf.uint8))


def posterized(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Levels with the upper `bits` of their 8 bits kept."""
    lost = tf.reshape(8 - tf.cast(bits, tf.int32), [-1, 1, 1])
    kept = tf.bitwise.left_shift(tf.bitwise.right_shift(LEVELS.astype(np.int32) + 0 * lost, lost), lost)
    return looked_up(images, tf.cast(kept, tf.uint8))


def autocontrasted(images: tf.Tensor) -> tf.Tensor:
    """Each channel stretched, so that its darkest level is 0 and its brightest 255; one of a single level stays."""
    low = tf.cast(tf.reduce_min(images, axis=[1, 2]), tf.int32)[..., None]
    span = tf.cast(tf.reduce_max(images, axis=[1, 2]), tf.int32)[..., None] - low
    stretched = tf.clip_by_value((LEVELS - low) * 255 // tf.maximum(span, 1), 0, 255)
    return looked_up(images, tf.cast(tf.where(span > 0, stretched, LEVELS), tf.uint8))


def equalized(images: tf.Tensor) -> tf.Tensor:
    """Each channel with its levels spread evenly, as `ImageOps.equalize` does it; one of a single level stays."""
    height, width, channels = images.shape[1:]
    rows = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height * width])
    # Not tf.math.bincount, whose size XLA does not see to be constant.
    counts = tf.raw_ops.DenseBincount(input=tf.cast(rows, tf.int32), size=256, weights=np.int32([]))
    counts = tf.reshape(counts, [-1, channels, 256])
    last = tf.gather(counts, tf.cast(tf.reduce_max(images, axis=[1, 2]), tf.int32)[..., None], batch_dims=2)
    step = (height * width - last) // 255
    spread = (tf.cumsum(counts, axis=-1, exclusive=True) + step // 2) // tf.maximum(step, 1)
    return looked_up(images, tf.cast(tf.where(step > 0, tf.minimum(spread, 255), LEVELS), tf.uint8))


def blurred(images: tf.Tensor, deviations: tf.Tensor, largest: float) -> tf.Tensor:
    """A Gaussian blur of a standard deviation for each sample, pixels, 0 to `largest`; border pixels go on outside.

    The kernel ends at three times `largest`. In float32, where Pillow composes three box blurs.
    """
    radius = int(np.ceil(3 * largest))
    deviations = tf.maximum(deviations, 1e-3)[:, None]  # so narrow a bell is one pixel
    kernels = tf.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / deviations) ** 2)
    kernels /= tf.reduce_sum(kernels, axis=1, keepdims=True)
    taps = [tf.reshape(tap, [-1, 1, 1, 1]) for tap in tf.split(kernels, 2 * radius + 1, axis=1)]
    smooth = tf.cast(images, tf.float32)
    for axis in (1, 2):
        places = np.arange(images.shape[axis])
        shifts = [np.clip(places + shift, 0, len(places) - 1) for shift in range(-radius, radius + 1)]
        smooth = tf.add_n([tap * tf.gather(smooth, at, axis=axis) for tap, at in zip(taps, shifts, strict=True)])
    return rounded(smooth)


def rounded(numbers: tf.Tensor) -> tf.Tensor:
    """Numbers as grey levels: rounded and cut to 0 … 255."""
    return tf.cast(tf.clip_by_value(tf.round(numbers), 0, 255), tf.uint8)
