"""Costs: what a model takes before it is trained, counted from its graph: multiply-adds, memory, the size of its files."""

import math
from dataclasses import dataclass

import keras
from keras import layers

from keras_imgcls.models import classifier

# What shares the memory of its input in inference, where nothing else reads that: it is folded away or computed in place.
ELEMENTWISE = (
    layers.Activation, layers.Add, layers.BatchNormalization, layers.Dropout, layers.ELU, layers.LeakyReLU, layers.Multiply,
    layers.PReLU, layers.ReLU, layers.Rescaling, layers.SpatialDropout2D,
)  # fmt: skip
VIEWS = (layers.Flatten, layers.Identity, layers.InputLayer, layers.Reshape)  # no memory of their own in training
FLOAT = 4  # bytes
QUANTIZED = 28  # bytes of a channel in int8: its bias (4), and scale (4) and zero point (8) of weights and of bias
OPERATION = 550  # bytes of names, shapes and indices around an operation of a TFLite file, measured


@dataclass(frozen=True)
class LayerCost:
    """One row of the table: its name, its type, the shape that it gives (without batch), parameters, multiply-adds."""

    name: str
    kind: str
    output: tuple[int | None, ...]
    parameters: int
    macs: int


def by_layer(model: keras.Model) -> list[LayerCost]:
    """The costs of each operation of a functional model in the order of the graph."""
    return [
        LayerCost(
            operation.name,
            type(operation).__name__,
            tuple(_tensors(operation.output)[0].shape[1:]),
            operation.count_params() if isinstance(operation, keras.Layer) else 0,
            classifier.multiply_adds(operation),
        )
        for operation in model.operations
    ]


def inference_memory(model: keras.Model) -> int:
    """Bytes of the tensors that are alive at once when one image goes through in float32, at the worst moment.

    A tensor lives from the operation that makes it to the last one that reads it. Layers that work on each number by
    itself write over what they read where nothing else reads it. Weights and the workspace of a convolution are not in it.
    """
    last, alive, peak = {}, {}, 0
    for place, operation in enumerate(model.operations):
        for tensor in _tensors(operation.input):
            last[id(tensor)] = place
    for tensor in _tensors(model.output):
        last[id(tensor)] = len(model.operations)
    for place, operation in enumerate(model.operations):
        outputs = {id(tensor): _bytes(tensor) for tensor in _tensors(operation.output)}
        dying = [size for tensor, size in alive.items() if last.get(tensor) == place]
        overwritten = max(dying, default=0) if isinstance(operation, (*ELEMENTWISE, *VIEWS)) else 0
        peak = max(peak, sum(alive.values()) + max(sum(outputs.values()) - overwritten, 0))
        alive = {tensor: size for tensor, size in (alive | outputs).items() if last.get(tensor, -1) > place}
    return peak


def training_memory(model: keras.Model) -> int:
    """Bytes that one image leaves for the backward pass in float32: the sum of what the layers give, views left out.

    Half of it in 16 bits. Frameworks drop some (a ReLU needs one of its two) and add workspaces: the order of magnitude.
    """
    return sum(
        _bytes(tensor)
        for operation in model.operations
        if not isinstance(operation, VIEWS)
        for tensor in _tensors(operation.output)
    )


def tflite_bytes(model: keras.Model) -> tuple[int, int]:
    """Sizes of the float32 and of the int8 TFLite file, estimated: weights, and a constant for each operation.

    As the converter does it, normalisation is folded into the convolution before it and a ReLU is part of what it follows.
    """
    kernels = channels = others = operations = 0
    for operation in model.operations:
        if isinstance(operation, classifier.COUNTED):
            sizes = [math.prod(weight.shape) for weight in operation.weights if weight.name.endswith("kernel")]
            kernels, operations = kernels + sum(sizes), operations + len(sizes)
            channels += operation.output.shape[-1]
        elif isinstance(operation, layers.BatchNormalization):
            apart = not _follows_convolution(operation, model)
            others += 2 * operation.output.shape[-1] * apart
            operations += 2 * apart
        else:
            others += operation.count_params() if isinstance(operation, keras.Layer) else 0
            operations += _operations(operation)
    around = OPERATION * operations
    return FLOAT * (kernels + channels + others) + around, kernels + QUANTIZED * channels + others + around


def _operations(operation: keras.Operation) -> int:
    """How many operations of TFLite it becomes."""
    if isinstance(operation, (layers.Dropout, layers.Identity, layers.InputLayer, layers.ReLU)):
        return 0
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    return {"relu": 0, "relu6": 0, "linear": 0, "silu": 2}.get(activation, 1)


def _follows_convolution(normalisation: keras.Layer, model: keras.Model) -> bool:
    """Whether what it normalises comes from a convolution or a dense layer, and goes nowhere else."""
    source = normalisation.input
    readers = [
        operation for operation in model.operations if any(tensor is source for tensor in _tensors(operation.input))
    ]
    maker = next(operation for operation in model.operations if any(t is source for t in _tensors(operation.output)))
    return isinstance(maker, classifier.COUNTED) and len(readers) == 1


def _tensors(structure: object) -> list[keras.KerasTensor]:
    return keras.tree.flatten(structure)


def _bytes(tensor: keras.KerasTensor) -> int:
    return FLOAT * math.prod(size or 1 for size in tensor.shape[1:])
