"""What another machine does with an export: raw files to probabilities, without this package.

A script, with the arguments EXPORT LIST_OF_FILES ANSWERS.npz, for an isolated interpreter. Pictures are decoded by Pillow
and resized here by MediaPipe's rule, written down anew; a SavedModel gets the files as they are.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

sys.modules["keras_imgcls"] = None  # so that importing it fails, even where it is installed


def main(export: str, listed: str, answers_path: str) -> None:
    paths = Path(listed).read_text(encoding="utf-8").splitlines()
    answer, size = answerer(Path(export))
    pictures = (Path(path).read_bytes() if size is None else fitted(upright(path), size) for path in paths)
    probabilities = np.stack([answer(picture) for picture in pictures])
    np.savez(answers_path, probabilities=probabilities, imported=sorted(n for n, m in sys.modules.items() if m))


def upright(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def fitted(image: np.ndarray, size: int) -> np.ndarray:
    """The whole picture on a square of `size` pixels: bilinear between the four pixels around, corners kept in place."""

    def places(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.arange(size, dtype=np.float32) * np.float32(length / size)
        lower = at.astype(int)
        return lower, np.minimum(lower + 1, length - 1), at - lower

    def between(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
        # Rounded to float32 once, as a fused multiply-add is: else sums near one half fall to the other side.
        return (one + (other.astype(np.float64) - one) * share).astype(np.float32)

    (top, bottom, down), (left, right, across) = places(image.shape[0]), places(image.shape[1])
    pixels = image.astype(np.float32)
    lines = between(pixels[:, left], pixels[:, right], across[:, None])  # across first, as TensorFlow has it
    return np.round(between(lines[top], lines[bottom], down[:, None, None])).astype(np.uint8)


def answerer(export: Path) -> tuple[Callable, int | None]:
    """A function from a picture to probabilities, and the size of its pixels; None where it takes files."""
    if export.is_dir():
        return saved_model(export), None
    return {".tflite": tflite, ".onnx": onnx, ".keras": plain_keras}[export.suffix](export)


def saved_model(export: Path) -> Callable:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(export))  # kept: its variables go with it
    return lambda content: loaded.signatures["serve_bytes"](image_bytes=tf.constant([content]))["probabilities"][
        0
    ].numpy()


def tflite(export: Path) -> tuple[Callable, int]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(export)).get_signature_runner("serving_default")
    (image,) = runner.get_input_details().values()
    (output,) = runner.get_output_details().values()
    scale = output["quantization"][0] or 1

    def answer(pixels: np.ndarray) -> np.ndarray:
        return runner(image=pixels[None].astype(image["dtype"]))["probabilities"][0].astype(np.float32) * scale

    return answer, image["shape"][1]


def onnx(export: Path) -> tuple[Callable, int]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(export), providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"image": pixels[None]})[0][0], session.get_inputs()[0].shape[1]


def plain_keras(export: Path) -> tuple[Callable, int]:
    import keras

    model = keras.saving.load_model(export, compile=False)

    def answer(pixels: np.ndarray) -> np.ndarray:
        logits = model(pixels[None].astype(np.float32), training=False)
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]

    return answer, model.input_shape[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
