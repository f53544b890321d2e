"""EXIF orientation in graph ops: how a camera was held, read from JPEG bytes and undone on the pixels."""

from collections.abc import Callable

import tensorflow as tf

MAX_SEGMENTS = 512  # of up to 64 KB each: 32 MB of profiles are walked, and no file makes the walk endless
EXIF, START_OF_SCAN, END_OF_IMAGE, FILL = 0xFFE1, 0xFFDA, 0xFFD9, 0xFFFF
ORIENTATION_TAG, SHORT, LONG = 0x0112, 3, 4


def undo_orientation(image: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    """`image`, decoded from the JPEG bytes in `contents`, as it was seen through the camera."""
    # Most files have no EXIF: looking for the word first takes 1 ns a byte and saves the walk, 0.4 ms of small ops.
    mentioned = tf.strings.regex_full_match(contents, r"\C*Exif\x00\x00\C*")
    turn = graph_function(lambda image, contents: upright(image, orientation(contents)))
    return tf.cond(mentioned, lambda: turn(image, contents), lambda: image)


def graph_function(function: Callable) -> Callable:
    """`function` as one node of a graph: ops of a branch that isn't taken would cost 1 us each all the same."""
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def orientation(contents: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation (int32 scalar, 1-8) of JPEG bytes (string scalar); 1 where there is none or it is malformed.

    Both byte orders are read. An orientation that stands only in XMP is not. (CIPA DC-008, Exif 2.32, 4.6.4 A.)
    """
    tiff = _exif(contents)
    order = tf.strings.substr(tiff, 0, 4)
    little, big = order == b"II*\0", order == b"MM\0*"
    return tf.switch_case(
        tf.cast(little, tf.int32) + 2 * tf.cast(big, tf.int32),
        [lambda: tf.constant(1), lambda: _directory(tiff, little=True), lambda: _directory(tiff, little=False)],
    )


def upright(image: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
    """`image` [height, width, channels] as it was seen, stored under the EXIF orientation `turned` (1-8)."""

    def turn() -> tf.Tensor:
        straight = tf.cond(turned >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        top_down = tf.gather([False, False, False, True, True, False, False, True, True], turned)
        left_right = tf.gather([False, False, True, True, False, False, True, True, False], turned)
        return tf.reverse(straight, tf.boolean_mask([0, 1], tf.stack([top_down, left_right])))

    return tf.cond(turned > 1, turn, lambda: image)


def _exif(contents: tf.Tensor) -> tf.Tensor:
    """What follows `Exif` in the first segment of that name: TIFF, in bytes; empty where there is none."""
    length = tf.strings.length(contents)

    def is_open(position: tf.Tensor, size: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        return (size == 0) & (position + 4 <= length) & (steps < MAX_SEGMENTS)

    def step(position: tf.Tensor, size: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        marker, size = tf.unstack(_words(tf.strings.substr(contents, position, 4), little=False), 2)
        found = (marker == EXIF) & (tf.strings.substr(contents, position + 4, 6) == b"Exif\0\0") & (size > 8)
        ended = (marker < 0xFF00) | (marker == START_OF_SCAN) | (marker == END_OF_IMAGE) | (size < 2)
        following = position + tf.where(marker == FILL, 1, tf.where(ended, length, 2 + size))
        return tf.where(found, position + 10, following), tf.where(found, size - 8, 0), steps + 1

    start, size, _ = tf.while_loop(is_open, step, (2, 0, 0))
    return tf.strings.substr(contents, tf.minimum(start, length), size)


def _directory(tiff: tf.Tensor, little: bool) -> tf.Tensor:
    """The orientation in the first directory of a TIFF; 1 where there is none."""
    length = tf.strings.length(tiff)
    words = _words(tf.strings.substr(tf.strings.join([tf.strings.substr(tiff, 4, 4), bytes(4)]), 0, 4), little)
    low, high = (words[0], words[1]) if little else (words[1], words[0])
    start = tf.minimum(tf.where(high > 0, length, low), length)
    count = _words(tf.strings.substr(tf.strings.join([tf.strings.substr(tiff, start, 2), bytes(2)]), 0, 2), little)[0]
    count = tf.maximum(tf.minimum((length - start - 2) // 12, count), 0)
    entries = tf.strings.substr(tiff, tf.minimum(start + 2, length), 12 * count)
    tags, kinds, _, _, first, second = tf.unstack(tf.reshape(_words(entries, little), [-1, 6]), axis=1)
    low, high = (first, second) if little else (second, first)
    values = tf.where(kinds == SHORT, first, tf.where((kinds == LONG) & (high == 0), low, 0))
    valid = (tags == ORIENTATION_TAG) & (values >= 1) & (values <= 8)
    return tf.concat([[1], values[valid]], axis=0)[-1]


def _words(contents: tf.Tensor, little: bool) -> tf.Tensor:
    """The bytes of a string scalar as 16-bit words (int32)."""
    return tf.cast(tf.io.decode_raw(contents, tf.uint16, little_endian=little), tf.int32)
