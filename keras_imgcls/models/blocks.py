"""What the families share: layers named and set up as the papers have them.

Images are `channels_last` throughout, and convolutions have no bias where a normalisation follows them.
"""

from typing import Annotated

import keras
import numpy as np
from keras import layers, ops

from keras_imgcls.core.arguments import Choice, Number, Whole
from keras_imgcls.core.errors import UserError

SMALL = 96  # pixels: from here on `stem=auto` takes ImageNet's stem

Width = Annotated[int, Whole(1, 4096)]
Multiplier = Annotated[float, Number(0.01, 16)]
Rate = Annotated[float, Number(0, 0.99)]
Stem = Annotated[str, Choice(("auto", "small", "imagenet"))]
Squeeze = Annotated[int, Whole(0, 1024)]  # channels to a hidden unit of the gates; 0: no gates
Units = Annotated[int, Whole(0, 16384)]  # of hidden layers; 0: as many as go with the stem
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
    use_bias: bool = False,
    groups: int = 1,
) -> keras.KerasTensor:
    """A convolution, by default without bias and with the first weights of He et al. 2015.

    Args:
        padding: `centred` puts `kernel_size // 2` zeros on each side, as the papers and PyTorch do; `same` and `valid`
            are Keras' own. With strides the first two differ: on images of even size TensorFlow's `same` pads right and
            below only, so that a 3x3 kernel sits one pixel beside those that a shortcut takes.
    """
    if padding == "centred" and strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    border = "valid" if padding == "valid" or (padding == "centred" and strides > 1) else "same"
    return layers.Conv2D(
        filters,
        kernel_size,
        strides,
        border,
        groups=groups,
        use_bias=use_bias,
        kernel_initializer=initializer,
        name=name,
    )(x)


def normalization(
    x: keras.KerasTensor, *, name: str, momentum: float = 0.9, scale: bool = True, epsilon: float = 1.001e-5
) -> keras.KerasTensor:
    """Batch normalisation. `momentum` is the share of the old statistics; PyTorch's default of 0.1 is 0.9 here."""
    # cuDNN takes no epsilon below 1e-5: from there on the fused operation does for every device.
    return layers.BatchNormalization(momentum=momentum, epsilon=epsilon, scale=scale, name=name)(x)


def local_response_normalization(x: keras.KerasTensor) -> keras.KerasTensor:
    """Each number divided by (2 + 1e-4 s) ** 0.75, where s is the sum of squares over the 5 channels around it.

    Constants and formula of Krizhevsky et al. 2012, section 3.3 (Caffe has 1 for the 2 and the mean for s).
    """
    x = ops.cast(x, "float32")
    # A 1x1 convolution with a band of ones: 33 ms, forward and backward, where five slices added take 370 and
    # TensorFlow's own operation 92 (64 x 32 x 32 x 96 on two cores).
    distances = np.subtract.outer(np.arange(x.shape[-1]), np.arange(x.shape[-1]))
    band = (np.abs(distances) <= 2).astype("float32")[None, None]
    divisor = 2 + 1e-4 * ops.conv(ops.square(x), band)
    return x * ops.rsqrt(divisor * ops.sqrt(divisor))  # no power: two roots are fast everywhere


def activation(x: keras.KerasTensor, function: str, *, name: str) -> keras.KerasTensor:
    """An activation by its Keras name."""
    return layers.Activation(function, name=name)(x)


def landmark(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """`x` under a name that Grad-CAM, transfer and tests ask for: `stem`, `stage1` … or `features`."""
    return layers.Identity(name=name)(x)


def is_small(x: keras.KerasTensor, stem: str, smallest: int = 32) -> bool:
    """Whether the stem for small images is meant: `stem` says so or, if it is `auto`, a side of `x` below 96 pixels.

    Raises:
        UserError: ImageNet's stem for an image of less than `smallest` pixels, which would leave nothing of it.
    """
    side = min(x.shape[1:3])
    if stem == "imagenet" and side < smallest:
        raise UserError(f"stem='imagenet' takes images of {smallest} pixels or more; received {side}: take 'small'.")
    return stem == "small" or (stem == "auto" and side < SMALL)


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


def hidden_layers(x: keras.KerasTensor, units: int, dropout: float) -> keras.KerasTensor:
    """Flattens a map, then two dense layers of `units` with ReLU and dropout: how AlexNet and VGG end."""
    x = layers.Flatten(name="features_flatten")(x)
    for number in (1, 2):
        x = layers.Dense(units, kernel_initializer="he_normal", name=f"features_dense{number}")(x)
        x = activation(x, "relu", name=f"features_relu{number}")
        if dropout:
            x = layers.Dropout(dropout, name=f"features_dropout{number}")(x)
    return x


def squeeze_excitation(
    x: keras.KerasTensor, filters: int, functions: tuple[str, str] = ("relu", "sigmoid"), *, name: str
) -> keras.KerasTensor:
    """Each channel of `x` times a gate that comes from the means of all, through `filters` numbers (Hu et al. 2017)."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    for step, channels, function in zip(("squeeze", "excite"), (filters, x.shape[-1]), functions, strict=True):
        gate = convolution(gate, channels, 1, name=f"{name}_{step}", use_bias=True)
        gate = activation(gate, function, name=f"{name}_{step}_{function}")
    return layers.Multiply(name=f"{name}_multiply")([x, gate])


def add_residual(
    shortcut: keras.KerasTensor, x: keras.KerasTensor, stochastic_depth: float = 0.0, *, name: str
) -> keras.KerasTensor:
    """The sum; in training `x` is left out for a share of the images, `stochastic_depth` (Huang et al. 2016)."""
    if stochastic_depth:
        x = layers.Dropout(stochastic_depth, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def channel_dropout(x: keras.KerasTensor, rate: float) -> keras.KerasTensor:
    """Dropout of whole channels of a map, which in front of a global average is the dropout behind it."""
    return layers.SpatialDropout2D(rate, name="features_dropout")(x) if rate else x
