"""Frames: the pictures of a video or of an animated image, one at a time, as pixels of the one door."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import PILLOW_FORMATS, BadImage, pillow_picture, require_size, with_channels

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts")
ANIMATED_SUFFIXES = (".gif", ".webp", ".png", ".apng")

Frame = tuple[float, np.ndarray]


def is_video(path: str) -> bool:
    """Whether the name is that of a video."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def is_animated(path: str) -> bool:
    """Whether the file holds more than one picture; False too where it can't be read, which the one door will say."""
    if not path.lower().endswith(ANIMATED_SUFFIXES):
        return False
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # Pillow raises whatever its many parts raise
        return False


def video_frames(path: str | Path, channels: int, step: int = 0) -> Iterator[Frame]:
    """Every `step`-th frame of a video, upright: its time in seconds and its pixels, uint8 [height, width, channels].

    `step` 0 takes about a frame a second. FFmpeg (through PyAV) decodes; a phone's rotation is undone.

    Raises:
        UserError: PyAV isn't there.
        BadImage: the file is no video, or is broken from here on; frames before that were given.
    """
    av = _pyav()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadImage(path, "it has no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            require_size(stream.height, stream.width)
            rate = float(stream.average_rate or 1)
            for number, frame in enumerate(container.decode(stream)):
                if number % (step or max(1, round(rate))) == 0:
                    yield _seconds(frame, stream, number / rate), _with_channels(_upright(frame), channels)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadImage(path, getattr(error, "strerror", None) or str(error)) from error


def animation_frames(path: str | Path, channels: int, step: int = 1) -> Iterator[Frame]:
    """Every `step`-th frame of a GIF, WebP or PNG: its time in seconds and its pixels, as the one door makes them.

    Raises:
        BadImage: the file is broken from here on; frames before that were given.
    """
    seconds = 0.0
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                if number % step == 0:
                    yield seconds, _with_channels(pillow_picture(image), channels)
                image.load()  # a WebP knows how long a frame is shown only now
                seconds += image.info.get("duration", 0) / 1000
    except Exception as error:  # Pillow raises whatever its many parts raise
        raise BadImage(path, str(error) or type(error).__name__) from error


def _pyav() -> ModuleType:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise UserError("Videos are read by PyAV, which isn't installed: pip install 'keras_imgcls[video]'.") from error


def _upright(frame) -> np.ndarray:
    require_size(frame.height, frame.width)
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))  # degrees counter-clockwise


def _seconds(frame, stream, estimate: float) -> float:
    """When a frame is shown, from the start of the stream; the estimate where the file doesn't say."""
    start = float((stream.start_time or 0) * stream.time_base)
    return estimate if frame.time is None else frame.time - start


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    return with_channels(tf.constant(pixels), channels).numpy()
