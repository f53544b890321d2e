"""The block of MobileNets and EfficientNets (Sandler et al. 2018, https://arxiv.org/abs/1801.04381): 1x1 convolution to
many channels, depthwise convolution, 1x1 convolution to few, without activation; a shortcut joins the few.

Padding is TensorFlow's `same` and the normalisations' epsilon 1e-3, as all weights that were trained in TensorFlow want
it. Momentum is 0.9, where the papers' long trainings had 0.99 and more.
"""

import keras
from keras import layers

from keras_imgcls.models import blocks


def divisible(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, never down by more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def stage_strides(strides: list[int], small: bool) -> list[int]:
    """Strides of the stages; for small images the first that is not 1 becomes 1 (and so does the stem's)."""
    first = next((index for index, step in enumerate(strides) if step > 1), None)
    return [1 if small and index == first else step for index, step in enumerate(strides)]


def convolution_block(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, function: str, *, name: str, number: str = ""
) -> keras.KerasTensor:
    """Convolution, normalisation and, if `function` isn't empty, activation."""
    x = blocks.convolution(
        x,
        filters,
        kernel_size,
        strides,
        name=f"{name}_{number}conv",
        padding="same",
        initializer=_initializer(),
    )
    return _normalized(x, function, name=f"{name}_{number}")


def inverted_residual(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    expanded: int,
    function: str,
    *,
    name: str,
    squeezed: int = 0,
    gates: tuple[str, str] = ("silu", "sigmoid"),
    stochastic_depth: float = 0.0,
) -> keras.KerasTensor:
    """`x` expanded to `expanded` channels, convolved in depth and projected to `filters`.

    Args:
        squeezed: hidden units of squeeze and excitation behind the depthwise convolution; 0: without it.
        gates: its two activations.
    """
    y = x
    if expanded != x.shape[-1]:
        y = convolution_block(y, expanded, 1, 1, function, name=name, number="expand_")
    y = layers.DepthwiseConv2D(
        kernel_size,
        strides,
        "same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_depthwise_conv",
    )(y)
    y = _normalized(y, function, name=f"{name}_depthwise_")
    if squeezed:
        y = blocks.squeeze_excitation(y, squeezed, gates, name=f"{name}_se")
    y = convolution_block(y, filters, 1, 1, "", name=name, number="project_")
    return _joined(x, y, strides, stochastic_depth, name=name)


def fused_inverted_residual(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    expanded: int,
    function: str,
    *,
    name: str,
    stochastic_depth: float = 0.0,
) -> keras.KerasTensor:
    """The same with one full convolution where that has an expansion and a depthwise one (EfficientNetV2)."""
    if expanded == x.shape[-1]:
        y = convolution_block(x, filters, kernel_size, strides, function, name=name, number="project_")
    else:
        y = convolution_block(x, expanded, kernel_size, strides, function, name=name, number="expand_")
        y = convolution_block(y, filters, 1, 1, "", name=name, number="project_")
    return _joined(x, y, strides, stochastic_depth, name=name)


def _joined(
    x: keras.KerasTensor, y: keras.KerasTensor, strides: int, stochastic_depth: float, *, name: str
) -> keras.KerasTensor:
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        return y
    return blocks.add_residual(x, y, stochastic_depth, name=name)


def _normalized(x: keras.KerasTensor, function: str, *, name: str) -> keras.KerasTensor:
    x = blocks.normalization(x, epsilon=1e-3, name=f"{name}norm")
    return blocks.activation(x, function, name=f"{name}{function}") if function else x


def _initializer() -> keras.Initializer:
    # By what goes out: of a depthwise kernel, Keras counts all channels as coming in. A new one each time, since an
    # initializer without a seed draws the same numbers twice.
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
