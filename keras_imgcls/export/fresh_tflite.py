"""Runs a TFLite file as a device would, with LiteRT and NumPy alone.

A script, with the arguments FILE.tflite LABELS.txt IMAGES.npy ANSWERS.npz. It imports nothing of this package and no
TensorFlow, and says in its answers what was imported.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(model_path: str, labels_path: str, images_path: str, answers_path: str) -> None:
    interpreter = Interpreter(model_path)
    interpreter.allocate_tensors()
    answer = interpreter.get_signature_runner("serving_default")
    images = np.load(images_path, mmap_mode="r")
    probabilities = np.concatenate([answer(image=image[None].astype(np.float32))["probabilities"] for image in images])
    class_names = np.array(Path(labels_path).read_text(encoding="utf-8").split("\n")[:-1])
    np.savez(
        answers_path,
        probabilities=probabilities,
        chosen=class_names[probabilities.argmax(axis=1)],
        class_names=class_names,
        imported=np.array(sorted({name.partition(".")[0] for name in sys.modules})),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
