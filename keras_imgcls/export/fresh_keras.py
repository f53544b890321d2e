"""Runs a `.keras` file with Keras and NumPy alone.

A script, with the arguments FILE.keras LABELS.txt IMAGES.npy ANSWERS.npz. It imports nothing of this package, and says
in its answers what was imported.
"""

import sys
from pathlib import Path

import keras
import numpy as np

BATCH = 64


def main(model_path: str, labels_path: str, images_path: str, answers_path: str) -> None:
    model = keras.saving.load_model(model_path, compile=False, safe_mode=True)
    logits = model.predict(np.load(images_path).astype(np.float32), BATCH, verbose=0).astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    class_names = np.array(Path(labels_path).read_text(encoding="utf-8").split("\n")[:-1])
    np.savez(
        answers_path,
        probabilities=exponentials / exponentials.sum(axis=1, keepdims=True),
        chosen=class_names[logits.argmax(axis=1)],
        class_names=class_names,
        imported=np.array(sorted({name.partition(".")[0] for name in sys.modules})),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
