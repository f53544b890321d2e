"""The stream of predictions: pictures are decoded ahead of the network, answers come in the order of the sources."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np

from keras_imgcls.data import frames
from keras_imgcls.data.decode import BadImage
from keras_imgcls.inference.base import BasePredictor

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of one picture.

    Attributes:
        path: the file.
        probabilities: float32 of shape (classes,); None where the file can't be read.
        error: why it can't.
        time: seconds from the start, where the picture is a frame.
        features: what the last layer saw, float32 of shape (d,), where that was asked for.
    """

    path: str
    probabilities: np.ndarray | None
    error: str = ""
    time: float | None = None
    features: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture to be predicted, its pixels still to be made; None where `error` says why there are none."""

    path: str
    time: float | None
    pixels: Callable[[], np.ndarray] | None
    error: str = ""


def predictions(
    predictor: BasePredictor,
    paths: Iterable[str],
    batch_size: int = 32,
    frame_step: int = 0,
    features: bool = False,
) -> Iterator[Prediction]:
    """The predictions for files, in their order. Threads decode ahead of the network; memory holds a few batches.

    Args:
        predictor: the model.
        paths: images and videos.
        batch_size: pictures per call of the network.
        frame_step: every N-th frame of videos and animated images; 0: a frame a second of videos, and of an animated
            image the first, which is what training sees.
        features: whether `Prediction.features` is wanted.
    """

    def decode(picture: _Picture) -> tuple[_Picture, np.ndarray | None]:
        try:
            return picture, picture.pixels() if picture.pixels else None
        except BadImage as error:
            return replace(picture, error=error.reason), None

    pictures = (picture for path in paths for picture in _pictures(predictor, path, frame_step))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = _in_order(pool, decode, pictures, 2 * batch_size)
        while batch := list(islice(decoded, batch_size)):
            yield from _predict_batch(predictor, batch, features)


def smoothed(stream: Iterable[Prediction], window: int) -> Iterator[Prediction]:
    """`stream`, with the probabilities of a frame averaged over it and the frames before it, up to `window` in all.

    A frame that comes no later than the one before it begins another video. Images are left as they are.
    """
    recent: deque[np.ndarray] = deque(maxlen=window)
    last = None
    for prediction in stream:
        if prediction.time is None or prediction.probabilities is None:
            yield prediction
            continue
        if last is None or prediction.path != last.path or not prediction.time > last.time:
            recent.clear()
        last = prediction
        recent.append(prediction.probabilities)
        yield replace(prediction, probabilities=np.mean(recent, axis=0))


def _pictures(predictor: BasePredictor, path: str, step: int) -> Iterator[_Picture]:
    """What is to be predicted of a file: the image, or some of its frames."""
    if frames.is_video(path):
        found = frames.video_frames(path, predictor.image_shape[2], step)
    elif step and frames.is_animated(path):
        found = frames.animation_frames(path, predictor.image_shape[2], step)
    else:
        yield _Picture(path, None, lambda: predictor.read(path))
        return
    try:
        for time, frame in found:
            pixels = predictor.fit(frame)  # here, not in the pool: 64 frames of 4K that wait would be 1.6 GB
            yield _Picture(path, time, lambda pixels=pixels: pixels)
    except BadImage as error:
        yield _Picture(path, None, None, error.reason)


def _predict_batch(
    predictor: BasePredictor, batch: list[tuple[_Picture, np.ndarray | None]], features: bool
) -> Iterator[Prediction]:
    images = [pixels for _, pixels in batch if pixels is not None]
    answers: Iterator = iter(())
    if images:
        stack = np.stack(images)
        columns = predictor.embed(stack, len(stack)) if features else (predictor.predict(stack, len(stack)),)
        answers = zip(*columns, strict=True)
    for picture, pixels in batch:
        if pixels is None:
            yield Prediction(picture.path, None, picture.error, picture.time)
        else:
            probabilities, *vector = next(answers)
            yield Prediction(picture.path, probabilities, "", picture.time, *vector)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """`map`, with at most `ahead` results waiting: `pool.map` would take all of the items at once."""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
