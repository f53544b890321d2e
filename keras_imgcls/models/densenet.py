"""DenseNet-BC (Huang et al. 2016, https://arxiv.org/abs/1608.06993): each layer sees the outputs of all before it.

A layer is normalisation, ReLU, 1x1 convolution to four times the growth (the B of BC), normalisation, ReLU, 3x3
convolution to the growth, joined to what came in. Between stages a 1x1 convolution halves the channels (the C) and an
average pool the sides. Parameters at 1000 classes are torchvision's: 7,978,856, 14,149,480 and 20,013,928. The one for
CIFAR has 769,162 at 10 (the paper rounds to 0.8 M), and 342 channels at its end.

The stem for small images is the paper's for CIFAR: one 3x3 convolution without strides.
"""

from typing import Annotated

import keras
from keras import layers

from keras_imgcls.core.arguments import Several, Whole
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Rate, Stem, Width

Three = Annotated[tuple[int, ...], Several(Whole(1, 512), 3)]
Four = Annotated[tuple[int, ...], Several(Whole(1, 512), 4)]


@MODELS.register(smallest=8)
def densenet121(
    x: keras.KerasTensor,
    growth: Width = 32,
    depths: Four = (6, 12, 24, 16),
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """DenseNet-121, 7.98 M parameters for ImageNet; 74.43 % there (torchvision)."""
    return _densenet(x, growth, depths, dropout, stem)


@MODELS.register(smallest=8)
def densenet169(
    x: keras.KerasTensor,
    growth: Width = 32,
    depths: Four = (6, 12, 32, 32),
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """DenseNet-169, 14.15 M parameters for ImageNet; 75.60 % there (torchvision)."""
    return _densenet(x, growth, depths, dropout, stem)


@MODELS.register(smallest=8)
def densenet201(
    x: keras.KerasTensor,
    growth: Width = 32,
    depths: Four = (6, 12, 48, 32),
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """DenseNet-201, 20.01 M parameters for ImageNet; 76.90 % there (torchvision)."""
    return _densenet(x, growth, depths, dropout, stem)


@MODELS.register(smallest=8)
def densenet_bc_100(
    x: keras.KerasTensor,
    growth: Width = 12,
    depths: Three = (16, 16, 16),
    dropout: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """DenseNet-BC-100 for small images, 0.77 M parameters; 95.49 % on CIFAR-10 (Huang et al. 2016, table 2)."""
    return _densenet(x, growth, depths, dropout, stem)


def _densenet(
    x: keras.KerasTensor, growth: int, depths: tuple[int, ...], dropout: float, stem: str
) -> keras.KerasTensor:
    x = blocks.landmark(_stem(x, 2 * growth, blocks.is_small(x, stem)), "stem")
    for stage, depth in enumerate(depths, 1):
        if stage > 1:
            x = _transition(x, name=f"stage{stage}_transition")
        for block in range(depth):
            x = _dense_block(x, growth, dropout, name=f"stage{stage}_block{block}")
        if stage == len(depths):
            x = _normalized(x, name=f"stage{stage}")
        x = blocks.landmark(x, f"stage{stage}")
    return x


def _stem(x: keras.KerasTensor, filters: int, small: bool) -> keras.KerasTensor:
    if small:
        return blocks.convolution(x, filters, name="stem_conv")
    x = blocks.convolution_block(x, filters, 7, 2, name="stem")
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return layers.MaxPooling2D(3, 2, name="stem_pool")(x)


def _transition(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    filters = x.shape[-1] // 2
    x = blocks.convolution(_normalized(x, name=name), filters, 1, name=f"{name}_conv")
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def _dense_block(x: keras.KerasTensor, growth: int, dropout: float, *, name: str) -> keras.KerasTensor:
    new = x
    for number, filters, kernel_size in ((1, 4 * growth, 1), (2, growth, 3)):
        new = _normalized(new, name=name, number=number)
        new = blocks.convolution(new, filters, kernel_size, name=f"{name}_conv{number}")
        if dropout:
            new = layers.Dropout(dropout, name=f"{name}_dropout{number}")(new)
    return layers.Concatenate(name=f"{name}_concat")([x, new])


def _normalized(x: keras.KerasTensor, *, name: str, number: int | str = "") -> keras.KerasTensor:
    x = blocks.normalization(x, name=f"{name}_norm{number}")
    return blocks.activation(x, "relu", name=f"{name}_relu{number}")
