"""ConvNeXt (Liu et al. 2022, https://arxiv.org/abs/2201.03545): a ResNet in the manner of a vision transformer.

A block is a depthwise 7x7 convolution, a normalisation over channels, a 1x1 convolution to four times the channels, GELU
and a 1x1 convolution back, then a scale for each channel that begins at 1e-6, so that a new block passes on what comes
in. Parameters are those of the paper's code, torchvision and `keras.applications`.

The stem cuts the image into patches: of 4x4 pixels, or of 2x2 where it is small.
"""

from typing import Annotated

import keras
from keras import layers

from keras_imgcls.core.arguments import Several, Whole
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Rate, Stem, Width

Depths = Annotated[tuple[int, ...], Several(Whole(1, 512), 4)]


@MODELS.register(smallest=16)
def convnext_tiny(
    x: keras.KerasTensor,
    width: Width = 96,
    depths: Depths = (3, 3, 9, 3),
    dropout: Rate = 0.0,
    stochastic_depth: Rate = 0.1,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ConvNeXt-T, 28.59 M parameters for ImageNet; 82.1 % there (Liu et al. 2022, table 9)."""
    patch = 2 if blocks.is_small(x, stem) else 4
    x = _convolution(x, width, patch, patch, name="stem_conv")
    x = blocks.landmark(_normalized(x, name="stem_norm"), "stem")
    for stage, depth in enumerate(depths, 1):
        if stage > 1:
            x = _normalized(x, name=f"stage{stage}_norm")
            x = _convolution(x, width * 2 ** (stage - 1), 2, 2, name=f"stage{stage}_conv")
        for block in range(depth):
            rate = stochastic_depth * (sum(depths[: stage - 1]) + block) / max(sum(depths) - 1, 1)
            x = _block(x, rate, name=f"stage{stage}_block{block}")
        x = blocks.landmark(x, f"stage{stage}")
    # The normalisation looks at the map's average: features are a vector.
    x = _normalized(layers.GlobalAveragePooling2D(name="features_pool")(x), name="features_norm")
    return layers.Dropout(dropout, name="features_dropout")(x) if dropout else x


def _block(x: keras.KerasTensor, stochastic_depth: float, *, name: str) -> keras.KerasTensor:
    filters = x.shape[-1]
    y = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=_initializer(), name=f"{name}_depthwise_conv")(
        x
    )
    y = _normalized(y, name=f"{name}_norm")
    y = _convolution(y, 4 * filters, 1, 1, name=f"{name}_expand_conv")
    y = blocks.activation(y, "gelu", name=f"{name}_gelu")
    y = _convolution(y, filters, 1, 1, name=f"{name}_project_conv")
    # Keras has no layer that only scales: a depthwise convolution of one pixel is as fast as the product.
    y = layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=_small(), name=f"{name}_layer_scale")(y)
    return blocks.add_residual(x, y, stochastic_depth, name=name)


def _convolution(x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, *, name: str) -> keras.KerasTensor:
    return blocks.convolution(
        x, filters, kernel_size, strides, name=name, padding="valid", initializer=_initializer(), use_bias=True
    )


def _normalized(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _initializer() -> keras.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)


def _small() -> keras.Initializer:
    return keras.initializers.Constant(1e-6)
