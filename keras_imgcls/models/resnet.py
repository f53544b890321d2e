"""Residual networks for ImageNet: ResNet (He et al. 2015, https://arxiv.org/abs/1512.03385, table 1) and its kin.

`version` says which: `v1` is the paper's, with strides in a block's first 1x1 convolution; `v1_5`, torchvision's, has
them in the 3x3; `keras` is `v1` with a bias in each convolution, as the weights of `keras.applications` want it; `v2`
normalises and activates in front of convolutions (https://arxiv.org/abs/1603.05027). `squeeze_excite=16` puts gates
(https://arxiv.org/abs/1709.01507) at the end of each block: the number is how many channels share one hidden unit.
`wide` multiplies the 3x3 convolutions' channels (Wide ResNet, https://arxiv.org/abs/1605.07146), `groups` parts them
(ResNeXt, https://arxiv.org/abs/1611.05431). Parameters are torchvision's; wide_resnet28_10's are those of
https://github.com/osmr/imgclsmob. The stem for small images is one 3x3 convolution without strides.
"""

from dataclasses import dataclass
from typing import Annotated

import keras
from keras import layers

from keras_imgcls.core.arguments import Choice, Several, Whole
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Multiplier, Rate, Squeeze, Stem, Width

Version = Annotated[str, Choice(("v1", "v1_5", "v2", "keras"))]
Depths = Annotated[tuple[int, ...], Several(Whole(1, 512), 4)]
Groups = Annotated[int, Whole(1, 1024)]


@dataclass(frozen=True)
class Style:
    """What all blocks of a network have in common; `dropout` is the one within blocks."""

    version: str
    bottleneck: bool = True
    wide: float = 1.0
    groups: int = 1
    squeeze_excite: int = 0
    dropout: float = 0.0


@MODELS.register(smallest=8)
def resnet18(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 2, 2),
    version: Version = "v1_5",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ResNet-18, 11.69 M parameters for ImageNet; 69.76 % there (torchvision)."""
    style = Style(version, False, squeeze_excite=squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def resnet34(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (3, 4, 6, 3),
    version: Version = "v1_5",
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ResNet-34, 21.80 M parameters for ImageNet; 73.31 % there (torchvision)."""
    style = Style(version, False, squeeze_excite=squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def resnet50(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (3, 4, 6, 3),
    version: Version = "v1_5",
    wide: Multiplier = 1.0,
    groups: Groups = 1,
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ResNet-50, 25.56 M parameters for ImageNet; 76.13 % there (torchvision)."""
    style = Style(version, True, wide, groups, squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def resnet101(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (3, 4, 23, 3),
    version: Version = "v1_5",
    wide: Multiplier = 1.0,
    groups: Groups = 1,
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ResNet-101, 44.55 M parameters for ImageNet; 77.37 % there (torchvision)."""
    style = Style(version, True, wide, groups, squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def resnet152(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (3, 8, 36, 3),
    version: Version = "v1_5",
    wide: Multiplier = 1.0,
    groups: Groups = 1,
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ResNet-152, 60.19 M parameters for ImageNet; 78.31 % there (torchvision)."""
    style = Style(version, True, wide, groups, squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def wide_resnet50_2(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (3, 4, 6, 3),
    version: Version = "v1_5",
    wide: Multiplier = 2.0,
    groups: Groups = 1,
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """Wide ResNet-50-2, 68.88 M parameters for ImageNet; 78.47 % there (torchvision)."""
    style = Style(version, True, wide, groups, squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def resnext50_32x4d(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (3, 4, 6, 3),
    version: Version = "v1_5",
    wide: Multiplier = 2.0,
    groups: Groups = 32,
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """ResNeXt-50 32x4d, 25.03 M parameters for ImageNet; 77.62 % there (torchvision)."""
    style = Style(version, True, wide, groups, squeeze_excite)
    return _imagenet_resnet(x, width, depths, style, stochastic_depth, dropout, stem)


@MODELS.register(smallest=8)
def wide_resnet28_10(
    x: keras.KerasTensor,
    width: Width = 160,
    depth: Annotated[int, Whole(1, 512)] = 4,
    squeeze_excite: Squeeze = 0,
    stochastic_depth: Rate = 0.0,
    dropout: Rate = 0.0,
) -> keras.KerasTensor:
    """WRN-28-10 for small images, 36.5 M parameters; 96.00 % on CIFAR-10 (Zagoruyko and Komodakis 2016, table 5).

    `depth` is the number of blocks in each of three stages; `dropout` falls between the convolutions of each.
    """
    style = Style("v2", False, squeeze_excite=squeeze_excite, dropout=dropout)
    x = blocks.landmark(blocks.convolution(x, 16, name="stem_conv"), "stem")
    return _stages(x, width, (depth,) * 3, style, stochastic_depth)


def _imagenet_resnet(
    x: keras.KerasTensor,
    width: int,
    depths: tuple[int, ...],
    style: Style,
    stochastic_depth: float,
    dropout: float,
    stem: str,
) -> keras.KerasTensor:
    x = blocks.landmark(_stem(x, width, style.version, blocks.is_small(x, stem)), "stem")
    return blocks.channel_dropout(_stages(x, width, depths, style, stochastic_depth), dropout)


def _stem(x: keras.KerasTensor, width: int, version: str, small: bool) -> keras.KerasTensor:
    size, strides = (3, 1) if small else (7, 2)
    x = blocks.convolution(x, width, size, strides, name="stem_conv", use_bias=version == "keras")
    if version != "v2":
        x = _normalized(x, name="stem")
    if small:
        return x
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return layers.MaxPooling2D(3, 2, name="stem_pool")(x)


def _stages(
    x: keras.KerasTensor, width: int, depths: tuple[int, ...], style: Style, stochastic_depth: float
) -> keras.KerasTensor:
    """Stages of `depths` blocks; from each to the next channels double and sides are halved."""
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            strides = 2 if stage > 1 and block == 0 else 1
            # It grows along the blocks up to the last, as Huang et al. 2016 have it.
            rate = stochastic_depth * (sum(depths[: stage - 1]) + block + 1) / sum(depths)
            x = _block(x, width * 2 ** (stage - 1), strides, style, rate, name=f"stage{stage}_block{block}")
        if style.version == "v2" and stage == len(depths):
            x = _normalized(x, name=f"stage{stage}")
        x = blocks.landmark(x, f"stage{stage}")
    return x


def _block(
    x: keras.KerasTensor, width: int, strides: int, style: Style, stochastic_depth: float, *, name: str
) -> keras.KerasTensor:
    before, biased = style.version == "v2", style.version == "keras"
    convolutions = _convolutions(width, strides, style)
    filters = convolutions[-1][0]
    y = _normalized(x, name=name, number=0) if before else x
    shortcut = x
    if strides > 1 or filters != x.shape[-1]:
        shortcut = blocks.convolution(y, filters, 1, strides, name=f"{name}_shortcut_conv", use_bias=biased)
        if not before:
            shortcut = blocks.normalization(shortcut, name=f"{name}_shortcut_norm")
    for number, (channels, size, step, groups) in enumerate(convolutions, 1):
        if number == len(convolutions) and style.dropout:
            y = layers.Dropout(style.dropout, name=f"{name}_dropout")(y)
        y = blocks.convolution(y, channels, size, step, name=f"{name}_conv{number}", use_bias=biased, groups=groups)
        if number < len(convolutions):
            y = _normalized(y, name=name, number=number)
    if not before:
        y = blocks.normalization(y, name=f"{name}_norm{number}")
    if style.squeeze_excite:
        y = blocks.squeeze_excitation(y, max(1, filters // style.squeeze_excite), name=f"{name}_se")
    y = blocks.add_residual(shortcut, y, stochastic_depth, name=name)
    return y if before else blocks.activation(y, "relu", name=f"{name}_relu{number}")


def _convolutions(width: int, strides: int, style: Style) -> list[tuple[int, int, int, int]]:
    """Filters, kernel size, strides and groups of the convolutions of a block."""
    if not style.bottleneck:
        return [(width, 3, strides, 1), (width, 3, 1, 1)]
    inner = int(width * style.wide)
    if inner % style.groups or not inner:
        raise UserError(
            f"groups divides the channels of 3x3 convolutions, width times wide; received groups={style.groups} for "
            f"{width} x {style.wide:g} = {inner} channels."
        )
    first, second = (strides, 1) if style.version in ("v1", "keras") else (1, strides)
    return [(inner, 1, first, 1), (inner, 3, second, style.groups), (4 * width, 1, 1, 1)]


def _normalized(x: keras.KerasTensor, *, name: str, number: int | str = "") -> keras.KerasTensor:
    x = blocks.normalization(x, name=f"{name}_norm{number}")
    return blocks.activation(x, "relu", name=f"{name}_relu{number}")
