"""VGG (Simonyan & Zisserman 2014, https://arxiv.org/abs/1409.1556, table 1: columns A, B, D and E).

Five stages of 3x3 convolutions with a pool of 2 between them, then two hidden layers. The variants with batch
normalisation, and all numbers of parameters, are torchvision's: 138,357,544 and 138,365,992 for `vgg16` and `vgg16_bn`.

No convolution has strides, so that there is no stem to choose: they are the same at every size from 32 px. What
`stem` decides is the other end: hidden layers of 4096 as in the paper, or of 512, as copies for small images have.
"""

from typing import Annotated

import keras
from keras import layers

from keras_imgcls.core.arguments import Several, Whole
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Rate, Stem, Units, Width

Depths = Annotated[tuple[int, ...], Several(Whole(1, 64), 5)]


@MODELS.register(smallest=32)
def vgg11(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (1, 1, 2, 2, 2),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-11, 132.86 M parameters for ImageNet; 69.02 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem)


@MODELS.register(smallest=32)
def vgg11_bn(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (1, 1, 2, 2, 2),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-11 with batch normalisation, 132.87 M parameters for ImageNet; 70.37 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem, normalized=True)


@MODELS.register(smallest=32)
def vgg13(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 2, 2, 2),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-13, 133.05 M parameters for ImageNet; 69.93 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem)


@MODELS.register(smallest=32)
def vgg13_bn(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 2, 2, 2),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-13 with batch normalisation, 133.05 M parameters for ImageNet; 71.59 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem, normalized=True)


@MODELS.register(smallest=32)
def vgg16(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 3, 3, 3),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-16, 138.36 M parameters for ImageNet; 71.59 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem)


@MODELS.register(smallest=32)
def vgg16_bn(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 3, 3, 3),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-16 with batch normalisation, 138.37 M parameters for ImageNet; 73.36 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem, normalized=True)


@MODELS.register(smallest=32)
def vgg19(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 4, 4, 4),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-19, 143.67 M parameters for ImageNet; 72.38 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem)


@MODELS.register(smallest=32)
def vgg19_bn(
    x: keras.KerasTensor,
    width: Width = 64,
    depths: Depths = (2, 2, 4, 4, 4),
    dense: Units = 0,
    dropout: Rate = 0.5,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """VGG-19 with batch normalisation, 143.68 M parameters for ImageNet; 74.22 % there (torchvision)."""
    return _vgg(x, width, depths, dense, dropout, stem, normalized=True)


def _vgg(
    x: keras.KerasTensor,
    width: int,
    depths: tuple[int, ...],
    dense: int,
    dropout: float,
    stem: str,
    *,
    normalized: bool = False,
) -> keras.KerasTensor:
    small = blocks.is_small(x, stem)
    x = blocks.landmark(_block(x, width, normalized, name="stem"), "stem")
    for stage, depth in enumerate(depths, 1):
        if stage > 1:
            x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
        # The stem is the first convolution of stage 1.
        for number in range(2 if stage == 1 else 1, depth + 1):
            x = _block(x, width * min(2 ** (stage - 1), 8), normalized, name=f"stage{stage}", number=number)
        x = blocks.landmark(x, f"stage{stage}")
    x = layers.MaxPooling2D(2, name="features_pool")(x)
    return blocks.hidden_layers(x, dense or (512 if small else 4096), dropout)


def _block(
    x: keras.KerasTensor, filters: int, normalized: bool, *, name: str, number: int | str = ""
) -> keras.KerasTensor:
    # A normalisation takes biases out again; torchvision has them all the same, and its weights want to be loaded.
    x = blocks.convolution(x, filters, use_bias=True, name=f"{name}_conv{number}")
    if normalized:
        x = blocks.normalization(x, name=f"{name}_norm{number}")
    return blocks.activation(x, "relu", name=f"{name}_relu{number}")
