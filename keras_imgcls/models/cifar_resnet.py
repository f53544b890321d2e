"""ResNets for small images (He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2).

Depth 6n + 2: a 3x3 stem, then three stages of n blocks of two 3x3 convolutions. Shortcuts are the paper's option A,
which has no parameters: where a stage begins, every second pixel is taken and the new channels are zeros. (Many copies
have 1x1 convolutions there, option B: 0.6 % more multiply-adds at depth 20.) Weights that are trained, at 10 classes:
269,722, 464,154, 658,586, 853,018 and 1,727,962, the counts of https://github.com/akamaster/pytorch_resnet_cifar10.

`version='v2'` normalises and activates in front of convolutions (He et al. 2016, https://arxiv.org/abs/1603.05027, appendix:
what a stage begins with is activated before it parts, and the last sum once more). It has as many weights as `v1`; with
1x1 convolutions as shortcuts, 2,560 more, they are the 272,282 of https://github.com/osmr/imgclsmob.
"""

from typing import Annotated

import keras
from keras import layers, ops

from keras_imgcls.core.arguments import Choice
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Rate, Squeeze, Width

Version = Annotated[str, Choice(("v1", "v2"))]


@MODELS.register(smallest=8)
def resnet20(
    x: keras.KerasTensor,
    width: Width = 16,
    version: Version = "v1",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
) -> keras.KerasTensor:
    """ResNet-20 for small images, 0.27 M parameters; 91.25 % on CIFAR-10 (He et al. 2015, table 6)."""
    return _resnet(x, 3, width, version, squeeze_excite, stochastic_depth, dropout)


@MODELS.register(smallest=8)
def resnet32(
    x: keras.KerasTensor,
    width: Width = 16,
    version: Version = "v1",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
) -> keras.KerasTensor:
    """ResNet-32 for small images, 0.46 M parameters; 92.49 % on CIFAR-10 (He et al. 2015, table 6)."""
    return _resnet(x, 5, width, version, squeeze_excite, stochastic_depth, dropout)


@MODELS.register(smallest=8)
def resnet44(
    x: keras.KerasTensor,
    width: Width = 16,
    version: Version = "v1",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
) -> keras.KerasTensor:
    """ResNet-44 for small images, 0.66 M parameters; 92.83 % on CIFAR-10 (He et al. 2015, table 6)."""
    return _resnet(x, 7, width, version, squeeze_excite, stochastic_depth, dropout)


@MODELS.register(smallest=8)
def resnet56(
    x: keras.KerasTensor,
    width: Width = 16,
    version: Version = "v1",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
) -> keras.KerasTensor:
    """ResNet-56 for small images, 0.85 M parameters; 93.03 % on CIFAR-10 (He et al. 2015, table 6)."""
    return _resnet(x, 9, width, version, squeeze_excite, stochastic_depth, dropout)


@MODELS.register(smallest=8)
def resnet110(
    x: keras.KerasTensor,
    width: Width = 16,
    version: Version = "v1",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
) -> keras.KerasTensor:
    """ResNet-110 for small images, 1.7 M parameters; 93.39 % on CIFAR-10 (He et al. 2015, table 6, mean of 5 runs)."""
    return _resnet(x, 18, width, version, squeeze_excite, stochastic_depth, dropout)


def _resnet(
    x: keras.KerasTensor,
    depth: int,
    width: int,
    version: str,
    squeeze_excite: int,
    stochastic_depth: float,
    dropout: float,
) -> keras.KerasTensor:
    """Three stages of `depth` blocks with `width`, 2 `width` and 4 `width` channels."""
    before = version == "v2"
    stem = blocks.convolution if before else blocks.convolution_block
    x = blocks.landmark(stem(x, width, name="stem_conv" if before else "stem"), "stem")
    for stage in (1, 2, 3):
        for block in range(depth):
            name, strides = f"stage{stage}_block{block}", 2 if stage > 1 and block == 0 else 1
            rate = stochastic_depth * (depth * (stage - 1) + block + 1) / (3 * depth)
            y = _activated(x, name=name, number=0) if before else x
            branch = _branch(y, width * 2 ** (stage - 1), strides, squeeze_excite, name=name, normalized=not before)
            shortcut = y if block == 0 else x
            if strides > 1:
                shortcut = _padded_shortcut(shortcut, branch.shape[-1], strides, name=f"{name}_shortcut")
            x = blocks.add_residual(shortcut, branch, rate, name=name)
            x = x if before else blocks.activation(x, "relu", name=f"{name}_relu2")
        if before and stage == 3:
            x = _activated(x, name="stage3")
        x = blocks.landmark(x, f"stage{stage}")
    return blocks.channel_dropout(x, dropout)


def _branch(
    x: keras.KerasTensor, filters: int, strides: int, squeeze_excite: int, *, name: str, normalized: bool
) -> keras.KerasTensor:
    """What a shortcut passes by: two convolutions; the second is `normalized` behind it, or not."""
    x = blocks.convolution_block(x, filters, 3, strides, name=name, number=1)
    x = blocks.convolution(x, filters, name=f"{name}_conv2")
    if normalized:
        x = blocks.normalization(x, name=f"{name}_norm2")
    if squeeze_excite:
        x = blocks.squeeze_excitation(x, max(1, filters // squeeze_excite), name=f"{name}_se")
    return x


def _activated(x: keras.KerasTensor, *, name: str, number: int | str = "") -> keras.KerasTensor:
    x = blocks.normalization(x, name=f"{name}_norm{number}")
    return blocks.activation(x, "relu", name=f"{name}_relu{number}")


def _padded_shortcut(x: keras.KerasTensor, filters: int, strides: int, *, name: str) -> keras.KerasTensor:
    # A pool of one pixel takes every second one: forward and backward 3 ms where a slice needs 11 (256 x 32 x 32 x 16).
    x = layers.AveragePooling2D(1, strides, name=name)(x)
    new = filters - x.shape[-1]
    return ops.pad(x, [[0, 0], [0, 0], [0, 0], [new // 2, new - new // 2]])
