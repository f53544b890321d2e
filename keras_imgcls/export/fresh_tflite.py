"""Runs a TFLite file as a device would, with LiteRT and NumPy alone.

A script, with the arguments FILE.tflite LABELS.txt IMAGES.npy ANSWERS.npz RUNTIME. It imports nothing of this package
and, where RUNTIME is ai_edge_litert, no TensorFlow (the other choice, for files with its operations), and says in its
answers what was imported.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM_UP, LEAST_RUNS, MOST_RUNS, SECONDS = 3, 5, 100, 0.7


def main(model_path: str, labels_path: str, images_path: str, answers_path: str, runtime: str) -> None:
    images = np.load(images_path, mmap_mode="r")
    answer = answerer(interpreter(runtime, model_path, threads=2))
    probabilities = np.stack([answer(image) for image in images])
    milliseconds = {
        f"milliseconds_{threads}": latencies(answerer(interpreter(runtime, model_path, threads)), images[0])
        for threads in (1, 2)
    }
    class_names = np.array(Path(labels_path).read_text(encoding="utf-8").split("\n")[:-1])
    np.savez(
        answers_path,
        probabilities=probabilities,
        chosen=class_names[probabilities.argmax(axis=1)],
        class_names=class_names,
        imported=np.array(sorted({name.partition(".")[0] for name in sys.modules})),
        **milliseconds,
    )


def interpreter(runtime: str, model_path: str, threads: int):
    if runtime == "tensorflow":
        import tensorflow

        Interpreter = tensorflow.lite.Interpreter  # no module: it can't be imported from
    else:
        from ai_edge_litert.interpreter import Interpreter
    made = Interpreter(model_path, num_threads=threads)
    made.allocate_tensors()
    return made


def answerer(interpreter) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one image, uint8 [height, width, channels], to its probabilities, float32 [classes]."""
    (image_details,), (details,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = details["quantization"]

    def answer(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(image_details["index"], image[None].astype(image_details["dtype"]))
        interpreter.invoke()
        numbers = interpreter.get_tensor(details["index"])[0].astype(np.float32)
        return (numbers - zero_point) * scale if scale else numbers

    return answer


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
