"""The training view: the same variables as a plain Keras model, in faster layers and, if wanted, in mixed precision.

Keras 3 never fuses batch normalisation on TensorFlow, runs each grouped convolution through XLA, and composes GELU from
ten operations. The view swaps these and leaves the plain model as it is, so that what is saved loads with Keras alone.
"""

import contextlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.training import fast_layers
from keras_imgcls.training.fast_layers import FusedBatchNormalization, GroupedConv2D

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
CPU_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # flags of /proc/cpuinfo: x86, x86, Arm


def accelerate(
    model: keras.Model, precision: str = "float32", frozen: Sequence[keras.Layer] = (), any_size: bool = False
) -> keras.Model:
    """The training view of `model`: a functional model to compile and fit, over the same variables, seeds included.

    Training the view trains `model`; save and export `model`, not the view. Layers keep their names. In float32 both
    give equal numbers to rounding. In mixed precision layers compute in 16 bits, except those that scale or augment
    pixels, are named `logits` or give an output, or are made of other layers. Freeze layers before this: a
    normalisation frozen later goes on updating its statistics. For `mixed_float16`, `compile` adds Keras' loss scaling.

    Args:
        model: a functional or sequential model, built in float32 on the TensorFlow backend; models inside it included.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`.
        frozen: layers of `model` that compute as in inference whatever the view is asked for: normalisations by their
            moving statistics, which stay, and without dropout. What is trained is for the caller to choose.
        any_size: whether the view takes images of any height and width, as progressive resizing wants it.

    Raises:
        UserError: an unknown precision, a model whose graph Keras doesn't know, or one for its own image size alone.
    """
    _check(model, precision)
    in_float32 = {"logits", *_output_names(model)}
    in_inference = {id(part) for layer in frozen if isinstance(layer, keras.Layer) for part in layer._flatten_layers()}

    def twin(layer):
        copy = _twin(layer, precision, layer.name in in_float32)
        return _in_inference(copy) if id(layer) in in_inference else copy

    with _uncompiled(model):
        clone = keras.models.clone_model(
            model, input_tensors=_open_input(model) if any_size else None, clone_function=twin, recursive=True
        )
    view = keras.Model(clone.inputs[0], clone.outputs[0], name=model.name) if _is_sequential(model) else clone
    view.dtype_policy = precision
    return view


def available_precisions() -> list[str]:
    """The precisions that this machine has hardware for, `float32` first."""
    if fast_layers.has_gpu():
        gpus = tf.config.list_physical_devices("GPU")
        capabilities = [
            tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus
        ]
        return ["float32", *["mixed_bfloat16"] * (min(capabilities) >= (8, 0)), "mixed_float16"]
    return ["float32", *["mixed_bfloat16"] * _cpu_has_bfloat16()]


def choose_precision(
    model: keras.Model,
    batch_shape: Sequence[int],
    precisions: Sequence[str] | None = None,
    seconds: float = 8.0,
    frozen: Sequence[keras.Layer] = (),
) -> tuple[str, dict[str, float]]:
    """The precision in which `model` trains fastest here, and the speed of each in images/s.

    Times steps of plain SGD on random pixels, the precisions in turns. Every variable of `model` is put back
    afterwards, and no global random state is used.

    Args:
        model: see `accelerate`; one input.
        batch_shape: batch size, height, width, channels.
        precisions: those to try; by default all that are available.
        seconds: how long to time, after the first step of each; three rounds are the least.
        frozen: see `accelerate`; their weights are left out of the steps.
    """
    with _unchanged(model):
        still = {id(variable) for layer in frozen for variable in getattr(layer, "variables", ())}
        trained = [variable for variable in model.trainable_variables if id(variable) not in still]
        views = {name: accelerate(model, name, frozen) for name in precisions or available_precisions()}
        steps = {name: training_step(view, batch_shape, trained) for name, view in views.items()}
        durations = _time_in_turns(steps, seconds)
    speeds = {name: batch_shape[0] / statistics.median(durations[name]) for name in steps}
    return max(speeds, key=speeds.get), speeds


def _check(model: keras.Model, precision: str) -> None:
    if precision not in PRECISIONS:
        hint = nearest(precision, PRECISIONS)
        raise UserError(f"Unknown precision '{precision}'.{hint} Known: {', '.join(PRECISIONS)}.")
    # Functional models alone have `operations`; Keras doesn't export their class.
    if not (_is_sequential(model) or hasattr(model, "operations")):
        raise UserError(
            f"accelerate takes a functional or sequential Keras model, whose graph it can rebuild; "
            f"received {type(model).__name__}, a subclass of keras.Model."
        )
    if not model.built:
        raise UserError(f"accelerate takes a built model: call {model.name}.build(input_shape) first.")


def _open_input(model: keras.Model) -> keras.KerasTensor:
    """An input as that of `model`, of any height and width.

    Raises:
        UserError: a layer has weights for each place of its feature map.
    """
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Flatten, keras.layers.Reshape)):
            raise UserError(f"{model.name} takes images of one size only: its layer {layer.name} knows every place.")
    image = model.inputs[0]
    return keras.Input((None, None, image.shape[-1]), name=image.name, dtype=image.dtype)


def _is_sequential(model: keras.Model) -> bool:
    return isinstance(model, keras.Sequential)


def _output_names(model: keras.Model) -> set[str]:
    """The names of the layers that give the outputs of `model`."""
    names = {model.layers[-1].name} if _is_sequential(model) else set(model.output_names)
    for layer in model.layers:
        if layer.name in names and (_is_sequential(layer) or hasattr(layer, "operations")):
            names |= _output_names(layer)
    return names


@contextlib.contextmanager
def _uncompiled(model: keras.Model) -> Iterator[None]:
    """Keeps `clone_model` from compiling the clone, which fails for losses that Keras can't deserialize."""
    models = [layer for layer in model._flatten_layers() if getattr(layer, "compiled", False)]
    for compiled in models:
        compiled.compiled = False
    try:
        yield
    finally:
        for compiled in models:
            compiled.compiled = True


def _twin(layer: keras.Layer, precision: str, in_float32: bool) -> keras.Layer:
    """A layer with the very state of `layer`, and a place in the graph, a precision and a way to compute of its own.

    Operations between layers, such as `x + y`, come here too; they have no state and take the precision that comes in.

    A copy of the attributes rather than a layer from the same config: that would have other variables and seeds, draw
    from Python's random numbers, and lose what a config doesn't hold.
    """
    twin = object.__new__(type(layer))
    vars(twin).update(vars(layer))
    vars(twin).update(_inbound_nodes=[], _outbound_nodes=[])
    if not isinstance(layer, keras.Layer) or layer.dtype_policy.name != "float32" or _has_sublayers(layer):
        return twin
    if not in_float32 and not _computes_in_float32(layer):
        twin.dtype_policy = precision
    for faster in (FusedBatchNormalization, GroupedConv2D):
        if faster.replaces(layer):
            twin.__class__ = faster
    _compile_activation(twin)
    return twin


def _in_inference(twin: keras.Layer) -> keras.Layer:
    """`twin`, never told that it is training."""
    if twin._call_has_training_arg:
        compute = twin.call
        vars(twin)["call"] = lambda *inputs, training=None, **more: compute(*inputs, training=False, **more)
    return twin


def _has_sublayers(layer: keras.Layer) -> bool:
    return any(True for _ in layer._flatten_layers(include_self=False))


def _computes_in_float32(layer: keras.Layer) -> bool:
    """Pixels want their 8 bits and more; of depthwise convolutions in bfloat16 oneDNN has only this one fast.

    64 x 24 x 24 x 144 with strides of 2, gradient of the input: 70 ms, in float32 4. 5 x 5, of the kernel: 27 and 12.
    """
    if isinstance(layer, (keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)):
        sizes = (*layer.kernel_size, *layer.strides, *layer.dilation_rate)
        return sizes != (3, 3, 1, 1, 1, 1) and not fast_layers.has_gpu()
    return type(layer).__module__.startswith("keras.src.layers.preprocessing")


def _compile_activation(twin: keras.Layer) -> None:
    worth = {} if fast_layers.has_gpu() else fast_layers.WORTH_COMPILING.get(twin.dtype_policy.name, {})
    activation = getattr(twin, "activation", None)
    if type(twin) is keras.layers.ReLU and (twin.negative_slope, twin.max_value, twin.threshold) == (0, 6, 0):
        activation = keras.activations.relu6
    if activation in worth:
        twin.activation = fast_layers.compiled(activation)
        if type(twin) is keras.layers.ReLU:
            twin.__class__ = keras.layers.Activation


def _cpu_has_bfloat16() -> bool:
    if platform.system() == "Darwin":
        query = ["sysctl", "-n", "hw.optional.arm.FEAT_BF16"]
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() == "1"
    information = Path("/proc/cpuinfo")
    return information.exists() and bool(CPU_BFLOAT16 & set(information.read_text().split()))


@contextlib.contextmanager
def _unchanged(model: keras.Model) -> Iterator[None]:
    values = [variable.numpy() for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)


def training_step(
    view: keras.Model, batch_shape: Sequence[int], variables: Sequence[keras.Variable]
) -> Callable[[], float]:
    """One step of training `variables` on random pixels, all of class 0; returns the cross-entropy."""
    pixels = np.random.default_rng(0).integers(0, 256, batch_shape).astype("float32")
    images = tf.constant(pixels)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            outputs = [tf.cast(y, tf.float32) for y in tf.nest.flatten(view(images, training=True))]
            loss = tf.add_n([tf.reduce_mean(tf.reduce_logsumexp(y, axis=-1) - y[..., 0]) for y in outputs])
        for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True):
            if gradient is not None:
                variable.assign_sub(1e-6 * gradient)
        return loss

    return lambda: float(step())


def _time_in_turns(steps: dict[str, Callable[[], float]], seconds: float) -> dict[str, list[float]]:
    for step in steps.values():
        step()
    durations: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, durations.values())) < 3:
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            durations[name].append(time.perf_counter() - start)
    return durations
