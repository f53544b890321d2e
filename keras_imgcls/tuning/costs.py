"""What a model costs before it is trained: parameters, multiply-adds, and the size and latency of its int8 TFLite file."""

import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_imgcls.core.console import quiet
from keras_imgcls.models import classifier
from keras_imgcls.models import costs as estimates

CALIBRATION_IMAGES, RUNS = 4, 20
CLEAR = 0.15  # estimates are within 5 % of the file


def of(
    model: str, image_shape: tuple[int, int, int], classes: int, convert: bool, limit_kb: float = 0.0
) -> dict[str, float]:
    """`parameters`, `flops` (multiply-adds); with `convert` or a limit `int8_kb`, and where a file was made `latency_ms`, too.

    Neither depends on what the weights are, so an untrained model, calibrated on noise, tells all.

    Args:
        model: with all its arguments, see `core.model_arguments.settle_model`.
        image_shape: height, width, channels.
        classes: their number.
        convert: whether size and latency (median of 20, one thread) are those of a real int8 file.
        limit_kb: what the size is held against: estimated, and by a real file where that is within 15 % of it. 0: none.
    """
    built = classifier.build(model, image_shape, classes)
    described = classifier.describe(built)
    found: dict[str, float] = {"parameters": described.parameters, "flops": described.macs}
    if limit_kb:
        found["int8_kb"] = estimates.tflite_bytes(built)[1] / 1024
    if convert or (limit_kb and abs(found["int8_kb"] - limit_kb) < CLEAR * limit_kb):
        content = _int8(built, image_shape)
        found |= {"int8_kb": len(content) / 1024, "latency_ms": _latency(content)}
    return found


def _int8(model: keras.Model, image_shape: tuple[int, int, int]) -> bytes:
    def images():
        draw = np.random.default_rng(0)
        for _ in range(CALIBRATION_IMAGES):
            yield [draw.integers(0, 256, (1, *image_shape)).astype(np.float32)]

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signature = tf.function(lambda image: model(image, training=False), autograph=False)
    concrete = signature.get_concrete_function(tf.TensorSpec((1, *image_shape), tf.float32))
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(module, folder, signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = images
        converter.inference_input_type = tf.uint8
        return converter.convert()


def _latency(content: bytes) -> float:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]
    interpreter.set_tensor(place["index"], np.zeros(place["shape"], place["dtype"]))
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        interpreter.invoke()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)
