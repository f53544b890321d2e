"""Runs an ONNX file with onnxruntime and NumPy alone.

A script, with the arguments FILE.onnx IMAGES.npy ANSWERS.npz. It imports nothing of this package, no TensorFlow and no
Keras, and says in its answers what was imported.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import onnxruntime

BATCH = 64
WARM_UP, LEAST_RUNS, MOST_RUNS, SECONDS = 3, 5, 100, 1.0


def main(model_path: str, images_path: str, answers_path: str) -> None:
    images = np.load(images_path, mmap_mode="r")
    sessions = {threads: session(model_path, threads) for threads in (1, 2)}
    answer = answerer(sessions[2])
    probabilities = np.concatenate([answer(images[at : at + BATCH]) for at in range(0, len(images), BATCH)])
    class_names = np.array(sessions[2].get_modelmeta().custom_metadata_map["labels.txt"].split("\n")[:-1])
    np.savez(
        answers_path,
        probabilities=probabilities,
        chosen=class_names[probabilities.argmax(axis=1)],
        class_names=class_names,
        imported=np.array(sorted({name.partition(".")[0] for name in sys.modules})),
        **{f"milliseconds_{n}": latencies(answerer(session), images[:1]) for n, session in sessions.items()},
    )


def session(model_path: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])


def answerer(model: onnxruntime.InferenceSession) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: model.run(["probabilities"], {"image": np.asarray(images)})[0]


def latencies(answer: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """How long an image takes, milliseconds, once for each of some runs."""
    for _ in range(WARM_UP):
        answer(image)
    measured, end = [], time.perf_counter() + SECONDS
    while len(measured) < LEAST_RUNS or (len(measured) < MOST_RUNS and time.perf_counter() < end):
        began = time.perf_counter()
        answer(image)
        measured.append((time.perf_counter() - began) * 1e3)
    return np.array(measured)


if __name__ == "__main__":
    main(*sys.argv[1:])
