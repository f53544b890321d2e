"""Runs a SavedModel as a user would who has TensorFlow alone.

A script, with the arguments SAVED_MODEL IMAGES.npy FILES_FOLDER ANSWERS.npz THREADS. It imports nothing of this package
and says in its answers what was imported.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

BATCH = 64
WARM_UP, LEAST_RUNS, MOST_RUNS, SECONDS = 3, 5, 100, 0.7


def main(saved_model: str, images_path: str, files_folder: str, answers_path: str, threads: str) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    model = tf.saved_model.load(saved_model)
    from_pixels, from_bytes = model.signatures["serving_default"], model.signatures["serve_bytes"]
    images = np.load(images_path, mmap_mode="r")
    encoded = [path.read_bytes() for path in sorted(Path(files_folder).iterdir())]
    classify = model.signatures["classify"]
    answers, byte_answers, best_answers = [], [], []
    for start in range(0, len(images), BATCH):
        answers.append(from_pixels(image=tf.constant(images[start : start + BATCH])))
        batch = tf.constant(encoded[start : start + BATCH])
        byte_answers.append(from_bytes(image_bytes=batch))
        best_answers.append(classify(image_bytes=batch))
    np.savez(
        answers_path,
        probabilities=joined(answers, "probabilities"),
        chosen=joined(answers, "label").astype(str),
        byte_probabilities=joined(byte_answers, "probabilities"),
        byte_chosen=joined(byte_answers, "label").astype(str),
        best_probabilities=joined(best_answers, "probabilities"),
        best_labels=joined(best_answers, "labels").astype(str),
        class_names=np.array(
            (Path(saved_model) / "assets" / "labels.txt").read_text(encoding="utf-8").split("\n")[:-1]
        ),
        milliseconds=latencies(lambda: from_pixels(image=tf.constant(images[:1]))["probabilities"].numpy()),
        imported=np.array(sorted({name.partition(".")[0] for name in sys.modules})),
    )


def joined(answers: list[dict], name: str) -> np.ndarray:
    return np.concatenate([answer[name].numpy() for answer in answers])


def latencies(answer: Callable[[], np.ndarray]) -> np.ndarray:
    """How long an image takes, milliseconds, once for each of some runs."""
    for _ in range(WARM_UP):
        answer()
    measured, end = [], time.perf_counter() + SECONDS
    while len(measured) < LEAST_RUNS or (len(measured) < MOST_RUNS and time.perf_counter() < end):
        began = time.perf_counter()
        answer()
        measured.append((time.perf_counter() - began) * 1e3)
    return np.array(measured)


if __name__ == "__main__":
    main(*sys.argv[1:])
