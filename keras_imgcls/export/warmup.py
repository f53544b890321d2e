"""Warm-up: requests that TensorFlow Serving sends to a model before users do, so that the first of theirs isn't slow.

The file is a TFRecord of `tensorflow.serving.PredictionLog`; the server reads it from this place by itself. Its messages
are encoded here: the package that has them, tensorflow-serving-api, would pin TensorFlow's version.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

PLACE = Path("assets.extra") / "tf_serving_warmup_requests"
BATCHES = (1, 8)


def write(folder: Path, image_shape: tuple[int, int, int], signatures: Iterable[str]) -> None:
    """Writes grey pictures, one and eight at a time, for each of `signatures` of the SavedModel in `folder`."""
    picture = np.full(image_shape, 128, np.uint8)
    inputs = {"image": picture, "image_bytes": np.array(tf.io.encode_png(picture).numpy(), object)}
    path = folder / PLACE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature in signatures:
            name = "image" if signature == "serving_default" else "image_bytes"
            for batch in BATCHES:
                writer.write(prediction_log(signature, name, tf.make_tensor_proto(np.stack([inputs[name]] * batch))))


def prediction_log(signature: str, name: str, tensor) -> bytes:
    """A `PredictionLog` of one request: the TensorProto `tensor` as the input `name` of `signature`.

    The numbers are those of the fields in TensorFlow Serving's apis/prediction_log.proto, predict.proto, model.proto.
    """
    model_spec = _field(3, signature.encode())  # ModelSpec.signature_name; the server knows its own model's name
    entry = _field(1, name.encode()) + _field(2, tensor.SerializeToString())  # an entry of map<string, TensorProto>
    request = _field(1, model_spec) + _field(2, entry)  # PredictRequest: model_spec, inputs
    return _field(6, _field(1, request))  # PredictionLog.predict_log, PredictLog.request


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a Protocol Buffers message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
