"""PyTorch's part of `inference.py`, a process of its own since Keras has one backend per process.

    python benchmarks/torch_worker.py keras MODEL.keras
    python benchmarks/torch_worker.py lite0 -

`keras` runs the very model through Keras on PyTorch; `lite0` the native EfficientNet-lite0 of efficientnet-lite-pytorch
(random weights: only its time is of use), channels last. Standard input brings lines of `IMAGES.npy CALLS`, standard
output the seconds of each call, from uint8 pixels to probabilities in NumPy.
"""

import json
import os
import sys
import time
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np
import torch


def keras_model(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """The model in a `.keras` file."""
    import keras

    model = keras.saving.load_model(path, compile=False)
    return lambda images: torch.softmax(model(torch.from_numpy(images).float(), training=False), -1).numpy()


def lite0(_: str) -> Callable[[np.ndarray], np.ndarray]:
    """The native network, scaled as its weights want it."""
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0").eval().to(memory_format=torch.channels_last)

    def answer(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()  # a view: channels last in memory
        return torch.softmax(model((pixels - 127) / 128), -1).numpy()

    return answer


def main(kind: str, path: str) -> None:
    """Answers until standard input ends."""
    answer = {"keras": keras_model, "lite0": lite0}[kind](path)
    with torch.inference_mode():
        for line in sys.stdin:
            file, calls = line.rsplit(maxsplit=1)
            images, seconds = np.load(file), []
            for _ in range(int(calls)):
                began = time.perf_counter()
                answer(images)
                seconds.append(time.perf_counter() - began)
            print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
