"""Warm-up requests, read with messages that are declared here anew, and answered by the signatures they name."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from keras_imgcls.export import saved_model, warmup
from keras_imgcls.inference.predictor import Predictor
from tests.inference.tiny import NAMES, make_model


def declare(file, name, *fields):
    """A message of `fields`: (name, number, type or name of a message, repeated)."""
    message = file.message_type.add(name=name)
    for field, number, kind, repeated in fields:
        added = message.field.add(name=field, number=number, label=3 if repeated else 1)
        if isinstance(kind, str):
            added.type, added.type_name = 11, f".{kind}"
        else:
            added.type = kind
    return message


@pytest.fixture(scope="module")
def prediction_log():
    """The parts of tensorflow_serving/apis that a request needs, in a pool of their own."""
    string, served = 9, "tensorflow.serving"
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package=served, syntax="proto3")
    for dependency in ("types", "tensor_shape", "resource_handle", "tensor"):
        path = f"tensorflow/core/framework/{dependency}.proto"
        proto = descriptor_pb2.FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(path).CopyToProto(proto)
        pool.Add(proto)
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    declare(file, "ModelSpec", ("name", 1, string, False), ("signature_name", 3, string, False))
    request = declare(
        file, "PredictRequest", ("model_spec", 1, f"{served}.ModelSpec", False),
        ("inputs", 2, f"{served}.PredictRequest.InputsEntry", True),
    )  # fmt: skip
    entry = declare(descriptor_pb2.FileDescriptorProto(), "InputsEntry", ("key", 1, string, False),
                    ("value", 2, "tensorflow.TensorProto", False))  # fmt: skip
    entry.options.map_entry = True
    request.nested_type.append(entry)
    declare(file, "PredictLog", ("request", 1, f"{served}.PredictRequest", False))
    declare(file, "PredictionLog", ("predict_log", 6, f"{served}.PredictLog", False))
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{served}.PredictionLog"))


def tensor(message):
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(message.SerializeToString()))


def test_every_signature_is_warmed_up_by_requests_that_it_answers(prediction_log, tmp_path):
    saved_model.write(Predictor(make_model((8, 8, 3)), NAMES), tmp_path / "1")
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    path = tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log.FromString(record.numpy()).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tensor(value)) for key, value in request.inputs.items()}
        answer = signatures[name](**inputs)
        assert np.isfinite(answer["probabilities"]).all()
        asked.append((name, len(answer["probabilities"])))
    assert asked == [(name, batch) for name in ("serving_default", "serve_bytes", "classify") for batch in (1, 8)]


def test_long_messages_and_unicode_names_survive(prediction_log):
    values = np.arange(70_000, dtype=np.int32)
    log = prediction_log.FromString(warmup.prediction_log("größe", "x", tf.make_tensor_proto(values)))
    assert log.predict_log.request.model_spec.signature_name == "größe"
    assert np.array_equal(tensor(log.predict_log.request.inputs["x"]), values)
