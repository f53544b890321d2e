"""Image formats in graph ops: which one some bytes are, and their pixels, once the header has been looked at."""

from contextlib import AbstractContextManager

import tensorflow as tf

from keras_imgcls.data.exif import undo_orientation

JPEG, PNG, GIF, BMP, WEBP, OTHER = range(6)
MAX_PIXELS = 178_956_970  # where Pillow refuses too: half a gigabyte in RGB
SIGNATURES = [0xFFD8, 0x8950, 0x4749, 0x424D, 0x5249]  # the first two bytes: SOI, .P, GI, BM, RI
LIMIT = f"pixels; {MAX_PIXELS:,} are the limit"


def kind(contents: tf.Tensor) -> tf.Tensor:
    """Which of the formats above the first two bytes speak for (int32 scalar); their decoders look at the rest."""
    start = tf.strings.substr(tf.strings.join([contents, bytes(2)]), 0, 2)
    found = tf.cast(tf.io.decode_raw(start, tf.uint16, little_endian=False), tf.int32) == SIGNATURES
    return tf.argmax(tf.concat([found, [True]], axis=0), output_type=tf.int32)


def is_plain_bmp(contents: tf.Tensor) -> tf.Tensor:
    """Whether TensorFlow decodes this BMP rightly: it takes 8 bits for grey, whatever the palette, and can't unpack."""
    head = _head(contents)
    bits = _number(head, 28, 2)
    return _says(head, b"BM") & ((bits == 24) | (bits == 32)) & (_number(head, 30, 4) == 0)


def is_still_webp(contents: tf.Tensor) -> tf.Tensor:
    """Whether TensorFlow may decode this WebP: of opaque animations 2.21 writes beyond its buffer and aborts."""
    head = _head(contents)
    animated = _says(head, b"VP8X", 12) & (head[20] // 2 % 2 == 1)
    return _says(head, b"RIFF") & _says(head, b"WEBP", 8) & ~animated


def jpeg(contents: tf.Tensor) -> tf.Tensor:
    """JPEG, upright, RGB whatever it was. TensorFlow's own limit, 2**29 bytes, is `MAX_PIXELS` in RGB."""
    return undo_orientation(tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"), contents)


def png(contents: tf.Tensor) -> tf.Tensor:
    """PNG with the channels that it has, transparency included; the upper 8 of 16 bits."""
    head = _head(contents)
    # channels=0 forgets a transparent colour of grey and RGB; channels=4 gives palettes of fewer than 8 bits that have
    # none an alpha of 1, 3 or 15 (TensorFlow 2.21).
    transparent = tf.strings.regex_full_match(contents, r"\C*tRNS\C*")
    with _guard(_number(head, 20, 4, little=False), _number(head, 16, 4, little=False)):
        return tf.cond(
            transparent,
            lambda: tf.io.decode_png(contents, channels=4),
            lambda: tf.io.decode_png(contents, channels=0),
        )


def gif(contents: tf.Tensor) -> tf.Tensor:
    """The first frame of a GIF."""
    head = _head(contents)
    with _guard(_number(head, 8, 2), _number(head, 6, 2)):
        return tf.ensure_shape(tf.io.decode_image(contents, channels=3, expand_animations=False), [None, None, None])


def bmp(contents: tf.Tensor) -> tf.Tensor:
    """BMP of 24 or 32 bits; the fourth byte means nothing."""
    head = _head(contents)
    height = _number(head, 22, 4)
    height = tf.minimum(height, 2**32 - height)  # negative where rows run from the top
    with _guard(height, _number(head, 18, 4)):
        return tf.io.decode_bmp(contents)[..., :3]


def webp(contents: tf.Tensor) -> tf.Tensor:
    """Still WebP: its size stands in one of three headers (RFC 9649)."""
    head = _head(contents)
    packed = _number(head, 21, 4)
    extended = [_number(head, 27, 3) + 1, _number(head, 24, 3) + 1]
    lossless = [packed // 2**14 % 2**14 + 1, packed % 2**14 + 1]
    lossy = [_number(head, 28, 2) % 2**14, _number(head, 26, 2) % 2**14]
    size = tf.where(_says(head, b"VP8X", 12), extended, tf.where(_says(head, b"VP8L", 12), lossless, lossy))
    with _guard(size[0], size[1]):
        return tf.io.decode_webp(contents)[0]


def _guard(height: tf.Tensor, width: tf.Tensor) -> AbstractContextManager:
    fits = (height > 0) & (width > 0) & (height * width <= MAX_PIXELS)
    words = ["its header says", height, "x", width, LIMIT]
    return tf.control_dependencies([tf.raw_ops.Assert(condition=fits, data=words)])


def _head(contents: tf.Tensor) -> tf.Tensor:
    """The first 40 bytes (int64), zeros where there are fewer."""
    start = tf.strings.join([tf.strings.substr(contents, 0, 40), bytes(40)])
    return tf.cast(tf.io.decode_raw(start, tf.uint8), tf.int64)


def _says(head: tf.Tensor, word: bytes, start: int = 0) -> tf.Tensor:
    return tf.reduce_all(head[start : start + len(word)] == list(word))


def _number(head: tf.Tensor, start: int, size: int, little: bool = True) -> tf.Tensor:
    powers = [256**place for place in range(size)]
    return tf.reduce_sum(head[start : start + size] * tf.constant(powers if little else powers[::-1], tf.int64))
