"""The one door from bytes to pixels: training, prediction and exports read images through the functions here.

JPEG, PNG, BMP and WebP are decoded by TensorFlow ops, so that an exported graph reads the very same pixels; they equal
Pillow's. What TensorFlow can't decode (PPM, TIFF, AVIF, animated WebP, BMP of 8 bits and fewer) goes through Pillow
behind the same door, and the graph refuses it by name. GIF has both: the graph's op decodes every frame, which a small
file can make gigabytes, so in this process Pillow reads the first. What comes out is upright and opaque, 0-255:

* EXIF orientation of JPEG (and of TIFF and AVIF) is undone.
* Of 16 bits the upper 8 are kept.
* Alpha is composited on white; transparent parts of a GIF are black, as TensorFlow's op draws them.
* Of an animation the first frame counts.
* RGB becomes grey as Pillow's `L` (ITU-R 601: 0.299, 0.587, 0.114 in 16 bits), grey becomes RGB by repeating.
* An image whose header says more than `formats.MAX_PIXELS` is refused undecoded; a truncated one is an error.
"""

import functools
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from keras_imgcls.core.errors import UserError
from keras_imgcls.data import formats
from keras_imgcls.data.exif import graph_function

PILLOW_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "TIFF", "AVIF")  # no others: EPS would start Ghostscript
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
    ".tif", ".tiff", ".avif",
)  # fmt: skip


class BadImage(UserError):
    """A file that can't be decoded: `path` and `reason`."""

    def __init__(self, path: str | Path, reason: str) -> None:
        """Names the file and what is wrong with it."""
        super().__init__(f"{path} can't be decoded: {reason}.")
        self.path, self.reason = str(path), reason


def decode_image(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """The pixels of an encoded image, uint8 [height, width, channels], in graph ops.

    Args:
        contents: string scalar: JPEG, PNG, GIF, BMP of 24 or 32 bits, or still WebP.
        channels: 1 (grey) or 3 (RGB).

    Raises:
        tf.errors.InvalidArgumentError: another format, more than `MAX_PIXELS`, or broken data.
    """
    return _decode(contents, channels, formats.gif, _refuse)


def decode_any(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """As `decode_image`, but what TensorFlow can't decode goes through Pillow: for graphs that stay in this process."""
    return _decode(contents, channels, _pillow, _pillow)


def read_image(path: str | Path, channels: int) -> np.ndarray:
    """The pixels of an image file, uint8 [height, width, channels], upright and opaque.

    Raises:
        BadImage: the file can't be read or decoded; the message has its name and the reason.
    """
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        raise BadImage(path, error.strerror or str(error)) from error
    if not contents:
        raise BadImage(path, "the file is empty")
    try:
        return _door(channels)(contents).numpy()
    except tf.errors.OpError as error:
        raise BadImage(path, _reason(error)) from error


def resize_image(image: tf.Tensor, size: int, method: str, interpolation: str) -> tf.Tensor:
    """`image` as a square of `size` pixels, antialiased (but for `mediapipe`), uint8 [size, size, channels], in graph ops.

    Args:
        image: uint8 [height, width, channels].
        size: height and width of the result, pixels.
        method: `squash` stretches the whole picture, `crop` takes the largest square from its centre, `pad` fits the
            whole picture into the centre of a black square.
        interpolation: `bilinear`, `bicubic`, `area` or `nearest`; or `mediapipe`, as MediaPipe Tasks does it: bilinear,
            not antialiased, the first pixel's corner kept in place.
    """
    channels = image.shape[-1]
    if method == "crop":
        shape = tf.shape(image)
        side = tf.minimum(shape[0], shape[1])
        top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
        image = image[top : top + side, left : left + side]
    if method != "pad":
        return tf.ensure_shape(_resample(image, [size, size], interpolation), [size, size, channels])
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    fitted = tf.maximum(tf.cast(tf.round(shape * (size / tf.reduce_max(shape))), tf.int32), 1)
    before = (size - fitted) // 2
    margins = tf.stack([before, size - fitted - before], axis=1)
    image = tf.pad(_resample(image, fitted, interpolation), tf.concat([margins, [[0, 0]]], axis=0))
    return tf.ensure_shape(image, [size, size, channels])


def with_channels(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    """`pixels` (grey, grey and alpha, RGB or RGBA), opaque and with `channels`."""
    to_rgb, to_grey = (_to_rgb, tf.identity) if channels == 3 else (tf.identity, _to_grey)
    finishes = [
        lambda: to_rgb(pixels),
        lambda: to_rgb(_on_white(pixels)),
        lambda: to_grey(pixels),
        lambda: to_grey(_on_white(pixels)),
    ]
    depth = pixels.shape[-1]
    return finishes[depth - 1]() if depth else tf.switch_case(tf.shape(pixels)[-1] - 1, finishes)


def pillow_pixels(contents: bytes) -> np.ndarray:
    """The pixels as Pillow decodes them, upright, uint8 [height, width, 1-4]; may raise anything."""
    with Image.open(io.BytesIO(contents), formats=PILLOW_FORMATS) as image:
        return pillow_picture(image)


def pillow_picture(image: Image.Image) -> np.ndarray:
    """The pixels of an open image's current frame, upright, uint8 [height, width, 1-4]; may raise anything."""
    # libwebp keeps several canvases of an animation (16 times one picture's memory), a GIF is drawn on another.
    require_size(image.height, image.width, {"WEBP": 16, "GIF": 4}.get(image.format, 1))
    is_gif = image.format == "GIF"
    image = ImageOps.exif_transpose(image)
    if is_gif:
        return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA")))[..., :3]
    if image.mode == "F" or image.mode.startswith("I"):
        return _upper_bits(image)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.atleast_3d(np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")))


def require_size(height: int, width: int, heavier: int = 1) -> None:
    """Raises ValueError where a picture, of `heavier` times the memory of its pixels, is beyond `MAX_PIXELS`."""
    if width * height * heavier > formats.MAX_PIXELS:
        raise ValueError(f"its header says {height} x {width} {formats.LIMIT}")


def _decode(contents: tf.Tensor, channels: int, gif: Callable, other: Callable) -> tf.Tensor:
    contents = tf.convert_to_tensor(contents)
    kind = formats.kind(contents)

    def where(test: Callable, decoder: Callable) -> Callable:
        return lambda contents: tf.cond(test(contents), lambda: decoder(contents), lambda: other(contents))

    bmp, webp = where(formats.is_plain_bmp, formats.bmp), where(formats.is_still_webp, formats.webp)
    decoders = (formats.png, gif, bmp, webp, other)  # in the order of `kind`, JPEG being 0

    @graph_function
    def rarer(contents: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
        branches = [functools.partial(decoder, contents) for decoder in decoders]
        return with_channels(tf.switch_case(kind - 1, branches), channels)

    pixels = tf.cond(
        kind == formats.JPEG,
        lambda: with_channels(formats.jpeg(contents), channels),
        lambda: rarer(contents, kind),
    )
    return tf.ensure_shape(pixels, [None, None, channels])


def _to_rgb(grey: tf.Tensor) -> tf.Tensor:
    return tf.repeat(grey, 3, axis=-1)


def _to_grey(rgb: tf.Tensor) -> tf.Tensor:
    weights = tf.constant([[19595.0], [38470.0], [7471.0]]) / 65536  # all sums stay below 2**24: float32 is exact
    return tf.cast(tf.floor(tf.tensordot(tf.cast(rgb, tf.float32), weights, 1) + 0.5), tf.uint8)


def _on_white(pixels: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(pixels, tf.float32)
    alpha = pixels[..., -1:]
    return tf.cast(tf.round((pixels[..., :-1] * alpha + 255 * (255 - alpha)) / 255), tf.uint8)


def _refuse(contents: tf.Tensor) -> tf.Tensor:
    expected = "expected JPEG, PNG, GIF, BMP of 24 or 32 bits, or still WebP"
    refusal = tf.raw_ops.Assert(condition=False, data=[expected, "(others are read from files only)"])
    with tf.control_dependencies([refusal]):
        return tf.zeros([1, 1, 3], tf.uint8)


def _pillow(contents: tf.Tensor) -> tf.Tensor:
    pixels = tf.numpy_function(pillow_pixels, [contents], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, [None, None, None])


def _upper_bits(image: Image.Image) -> np.ndarray:
    """The upper 8 of 16 bits. Other ranges have no meaning as grey levels."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"pixels of mode {image.mode} beyond 16 bits have no known range")
    return (values >> 8).astype(np.uint8)[..., np.newaxis]


def _resample(image: tf.Tensor, size: list[int] | tf.Tensor, interpolation: str) -> tf.Tensor:
    if interpolation == "mediapipe":
        resized = tf.raw_ops.ResizeBilinear(images=image[None], size=size)[0]
    else:
        resized = tf.image.resize(image, size, interpolation, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8) if resized.dtype != tf.uint8 else resized


@functools.cache
def _door(channels: int) -> Callable:
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda contents: decode_any(contents, channels), autograph=False, input_signature=signature)


def _reason(error: tf.errors.OpError) -> str:
    """The first line of TensorFlow's (or Pillow's) message, without the names of nodes and addresses."""
    text = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]|<_io.*?>", "", error.message).strip().partition("\n")[0]
    text = re.sub(r"^(assertion failed|\w+Error): ", "", text).replace("] [", " ").strip("[]")
    return " ".join(text.split()).rstrip(".")
