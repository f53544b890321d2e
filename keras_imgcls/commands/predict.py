"""Predict: labels and probabilities for images, videos and what an export answers for them."""

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from keras_imgcls import startup
from keras_imgcls.core.config import IMAGENET, PredictConfig, check_pretrained
from keras_imgcls.core.console import Progress
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.run import open_run
from keras_imgcls.core.spec import parse_call
from keras_imgcls.models import published

if TYPE_CHECKING:
    from keras_imgcls.inference.base import BasePredictor
    from keras_imgcls.inference.stream import Prediction

USAGE = """Predict the labels of images.

  bin/predict --run_dir=RUN --source=cat.jpg
  bin/predict --run_dir=RUN --source=photos,'more/*.png' --topk=1 --format=csv > labels.csv
  bin/predict --model=efficientnet_lite0 --pretrained=imagenet --source=photo.jpg
  bin/predict --exported=RUN/export/saved_model --source=clip.mp4 --frame_step=5 --smoothing=9
  find . -name '*.jpg' -print0 | bin/predict --run_dir=RUN --source=- --embeddings=features.npy

Standard output holds nothing but rows: path, rank, label, probability (a fraction), error, and where there may be
frames their time (seconds). A file that can't be read is one row with its error; the others are done all the same, and
the exit code is 1. Names of files and labels are written as they are: one that begins with '=' is a formula to a
spreadsheet that opens the CSV."""
CONFIG = PredictConfig


def run(config: PredictConfig) -> int:
    """Prints one row per picture and rank; 1 where a file could not be read."""
    _check(config)
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.data import frames
    from keras_imgcls.inference import rows, stream

    paths = _paths(config.source)
    predictor = _predictor(config)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name need not be UTF-8: its bytes pass through as they are
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    least = predictor.min_confidence if config.min_confidence < 0 else config.min_confidence
    rows.require_unambiguous(predictor.class_names, least)
    found = stream.predictions(predictor, paths, config.batch_size, config.frame_step, bool(config.embeddings))
    unread = 0

    def answers() -> Iterator[rows.Row]:
        nonlocal unread
        for prediction in _counted(stream.smoothed(found, config.smoothing), paths):
            unread += prediction.probabilities is None
            add_features(prediction.features)
            yield from rows.rows_of(prediction, predictor.class_names, config.topk, least)

    has_time = config.frame_step > 0 or any(map(frames.is_video, paths))
    with _features_file(config, predictor) as add_features:
        rows.WRITERS[config.format](sys.stdout, answers(), paths, predictor.class_names, has_time)
        sys.stdout.flush()
    if unread:
        print(f"{unread:,} of {len(paths):,} images can't be read: see the error column.", file=sys.stderr, flush=True)
    return 1 if unread else 0


def _check(config: PredictConfig) -> None:
    """Says what is missing before TensorFlow starts."""
    if config.run_dir and config.exported:
        raise UserError("--run_dir names a run and --exported a file in its place: choose one.")
    if config.embeddings and not config.embeddings.endswith(".npy"):
        raise UserError(f"--embeddings names a .npy file; received '{config.embeddings}'.")
    if config.model or config.pretrained:
        _check_pretrained(config)
    elif not config.exported:
        open_run(config.run_dir)


def _check_pretrained(config: PredictConfig) -> None:
    if config.run_dir or config.exported:
        raise UserError("--model and --pretrained stand in place of --run_dir and --exported: choose one.")
    if not config.model or not config.pretrained:
        raise UserError("Give both, for example --model=efficientnet_lite0 --pretrained=imagenet.")
    MODELS.check(parse_call(config.model))
    check_pretrained(config.pretrained, config.trust_file)
    if config.pretrained == IMAGENET:
        published.require(config.model)


def _predictor(config: PredictConfig) -> "BasePredictor":
    if config.exported:
        from keras_imgcls.inference.exported import load_exported

        return load_exported(config.exported)
    from keras_imgcls.inference.predictor import load_pretrained, load_run

    if config.pretrained:
        return load_pretrained(config.model, config.pretrained, config.cache_dir, config.trust_file)
    return load_run(config.run_dir, config.trust_file)


def _paths(source: str) -> list[str]:
    from keras_imgcls.inference import sources

    return sources.read_paths(sys.stdin.buffer) if source == sources.STANDARD_INPUT else sources.find_images(source)


def _counted(stream: Iterable["Prediction"], paths: Sequence[str]) -> Iterator["Prediction"]:
    """`stream`, with the progress of its files on standard error where the rows don't go to a terminal."""
    progress = None if sys.stdout.isatty() else Progress(len(paths), "predict", sys.stderr)
    done, last = 0, None
    for prediction in stream:
        yield prediction
        done += prediction.time is None or prediction.path != last
        last = prediction.path
        if progress:
            progress.update(done)
    if progress:
        progress.clear()


def _features_file(config: PredictConfig, predictor: "BasePredictor") -> contextlib.AbstractContextManager:
    """What opens the file of `--embeddings`; without it, what is added goes nowhere."""
    if not config.embeddings:
        return contextlib.nullcontext(lambda row: None)
    import numpy as np

    from keras_imgcls.inference.embeddings import growing_array

    _, features = predictor.embed(np.zeros((1, *predictor.image_shape), np.uint8))
    return growing_array(config.embeddings, features.shape[1])
