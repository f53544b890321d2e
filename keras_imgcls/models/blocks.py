"""What the families share: layers named and set up as the papers have them.

Images are `channels_last` throughout, and convolutions have no bias, since a normalisation follows each of them.
"""

from typing import Annotated

import keras
from keras import layers

from keras_imgcls.core.arguments import Choice, Whole

Width = Annotated[int, Whole(1, 4096)]
Function = Annotated[str, Choice(("relu", "relu6", "gelu", "silu", "hard_silu", "elu", "celu", "selu", "leaky_relu"))]


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int = 3,
    strides: int = 1,
    *,
    name: str,
    padding: str = "centred",
    initializer: str | keras.Initializer = "he_normal",
) -> keras.KerasTensor:
    """A convolution without bias.

    Args:
        padding: `centred` puts `kernel_size // 2` zeros on each side, as the papers and PyTorch do; `same` and `valid`
            are Keras' own. With strides the first two differ: on images of even size TensorFlow's `same` pads right and
            below only, so that a 3x3 kernel sits one pixel beside those that a shortcut takes.
    """
    if padding == "centred" and strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    border = "valid" if padding == "valid" or (padding == "centred" and strides > 1) else "same"
    return layers.Conv2D(
        filters, kernel_size, strides, border, use_bias=False, kernel_initializer=initializer, name=name
    )(x)


def normalization(x: keras.KerasTensor, *, name: str, momentum: float = 0.9, scale: bool = True) -> keras.KerasTensor:
    """Batch normalisation. `momentum` is the share of the old statistics; PyTorch's default of 0.1 is 0.9 here."""
    # cuDNN takes no epsilon below 1e-5: from there on the fused operation does for every device.
    return layers.BatchNormalization(momentum=momentum, epsilon=1.001e-5, scale=scale, name=name)(x)


def activation(x: keras.KerasTensor, function: str, *, name: str) -> keras.KerasTensor:
    """An activation by its Keras name."""
    return layers.Activation(function, name=name)(x)


def landmark(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """`x` under a name that Grad-CAM, transfer and tests ask for: `stem`, `stage1` … or `features`."""
    return layers.Identity(name=name)(x)


def convolution_block(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int = 3,
    strides: int = 1,
    *,
    name: str,
    number: int | str = "",
    function: str = "relu",
) -> keras.KerasTensor:
    """Convolution, normalisation, activation, named `NAME_conv1`, `NAME_norm1`, `NAME_relu1` for `number=1`."""
    x = convolution(x, filters, kernel_size, strides, name=f"{name}_conv{number}")
    x = normalization(x, name=f"{name}_norm{number}")
    return activation(x, function, name=f"{name}_{function}{number}")
