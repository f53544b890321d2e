"""Fallback: the few places of a network that int8 hurts most stay in float."""

import re
from collections.abc import Collection, Iterator
from functools import cached_property

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import convert, util
from tensorflow.lite.python import schema_py_generated as schema

from keras_imgcls.core.console import Progress, quiet
from keras_imgcls.export import litert, tflite
from keras_imgcls.export.trained import Trained

IMAGES = 64  # on which places are compared
LARGEST_SHARE = 0.5  # of the operations; with more of them in float there is little left to win


class Sensitivity:
    """A network's places by how much int8 hurts there, and files in which the worst stay float.

    A place is the output of an operation: where it is to stay float, so must the operation and those that take it. How
    much int8 hurts there is measured on the output of the network: by how much nearer the probabilities come to those of
    the Keras model when this place alone is float. No layer's own error tells as much: where one channel is large and
    another carries the answer, the error looks small.
    """

    def __init__(self, trained: Trained) -> None:
        """Calibrates the network once."""
        self._layers = {layer.name for layer in trained.predictor.model.layers}
        self._images = trained.calibration[:IMAGES]
        self._expected = trained.predictor.predict(self._images)
        self._calibrated = calibrated(trained)
        self._graph = schema.ModelT.InitFromPackedBuf(self._calibrated, 0).subgraphs[0]
        # Neither what takes the image, which would have to be float then, nor the softmax, whose output has to be 256ths.
        ends = {*self._graph.inputs, *self._graph.outputs}
        self._operations = [
            operator for operator in self._graph.operators if not ends & {*operator.inputs, *operator.outputs}
        ]

    def counts(self) -> Iterator[int]:
        """How many places to try: 1, 2, 4 …"""
        count = 1
        while count <= len(self._operations) * LARGEST_SHARE:
            yield count
            count *= 2

    def quantize(self, count: int) -> bytes:
        """The file in which the worst `count` places are float."""
        return self._quantize(self._names(self._ranked[:count]))

    def kept(self, count: int) -> list[str]:
        """The layers that are float in `quantize(count)`, in the order of the network."""
        floating = self._names(self._ranked[:count])
        return [layer_of(name, self._layers) for name in self._all_names if name in floating]

    @cached_property
    def _ranked(self) -> list[int]:
        progress = Progress(len(self._operations), "  sensitivity")
        errors = []
        for place in range(len(self._operations)):
            errors.append(self._error(self._quantize(self._names([place]))))
            progress.update(place + 1)
        progress.clear()
        return np.argsort(errors, kind="stable").tolist()

    @property
    def _all_names(self) -> list[str]:
        return [self._name(operator) for operator in self._operations]

    def _names(self, places: list[int]) -> set[str]:
        made = {output for place in places for output in self._operations[place].outputs}
        touching = [o for o in self._operations if made & {*o.outputs, *o.inputs}]
        return {self._name(operator) for operator in touching}

    def _name(self, operator: schema.OperatorT) -> str:
        return self._graph.tensors[operator.outputs[0]].name.decode()

    def _error(self, model: bytes) -> float:
        return float(np.square(litert.probabilities(model, self._images) - self._expected).mean())

    def _quantize(self, floating: set[str]) -> bytes:
        with quiet():
            model = convert.mlir_quantize(self._calibrated, denylisted_nodes=sorted(floating))
        return util.modify_model_io_type(model, tf.uint8, tf.uint8)


def layer_of(tensor: str, layers: Collection[str]) -> str:
    """Which of `layers` a tensor's name means, such as `functional_1/stem_relu_1/Relu;functional_1/stem_1/convolution`."""
    parts = tensor.partition(";")[0].split("/")
    found = [known for part in parts for known in (part, re.sub(r"_\d+$", "", part)) if known in layers]
    return found[-1] if found else tensor


def calibrated(trained: Trained) -> bytes:
    """The float file in which every activation has the range that it takes on the calibration images."""

    def choose(converter: tflite.Converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: tflite.samples(trained.calibration)
        converter._experimental_calibrate_only = True

    return tflite.convert(trained, choose)
