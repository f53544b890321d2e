"""AlexNet, in both of its forms.

`alexnet` is the network that won in 2012 (Krizhevsky et al., https://papers.nips.cc/paper/4824): two towers on two GPUs,
here merged as in Caffe's `bvlc_alexnet`: where a tower saw its own half only, a convolution has two groups. It has local
response normalisation, and 60,965,224 parameters at 1000 classes. `alexnet_one_tower` is that of 2014 (Krizhevsky,
https://arxiv.org/abs/1404.5997) with the widths of torchvision's `alexnet`: no groups, no normalisation; 61,100,840.

At 224 px two zeros around the image give the paper's 55 x 55. Small images have a 5x5 convolution without strides in
place of 11x11 with strides of 4, and hidden layers of 512. Weights begin as He et al. 2015 have them, biases at 0;
dropout is behind the hidden layers, as in the paper (torchvision has it before them).
"""

import keras
from keras import layers

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Multiplier, Rate, Stem, Units


@MODELS.register(smallest=16)
def alexnet(
    x: keras.KerasTensor, width: Multiplier = 1.0, dense: Units = 0, dropout: Rate = 0.5, stem: Stem = "auto"
) -> keras.KerasTensor:
    """AlexNet of 2012, its two towers merged, 60.97 M parameters for ImageNet; 59.3 % there (Krizhevsky et al. 2012)."""
    return _alexnet(x, (96, 256, 384, 384, 256), width, dense, dropout, stem, two_towers=True)


@MODELS.register(smallest=16)
def alexnet_one_tower(
    x: keras.KerasTensor, width: Multiplier = 1.0, dense: Units = 0, dropout: Rate = 0.5, stem: Stem = "auto"
) -> keras.KerasTensor:
    """AlexNet of 2014, one tower, 61.10 M parameters for ImageNet; 56.52 % there (torchvision)."""
    return _alexnet(x, (64, 192, 384, 256, 256), width, dense, dropout, stem, two_towers=False)


def _alexnet(
    x: keras.KerasTensor,
    filters: tuple[int, ...],
    width: float,
    dense: int,
    dropout: float,
    stem: str,
    *,
    two_towers: bool,
) -> keras.KerasTensor:
    small, groups = blocks.is_small(x, stem, smallest=63), 1 + two_towers
    filters = [2 * max(1, round(count * width / 2)) for count in filters]
    x = _stem(x, filters[0], small)
    x = blocks.landmark(blocks.local_response_normalization(x) if two_towers else x, "stem")
    x = layers.MaxPooling2D(3, 2, name="stage1_pool")(x)
    x = _convolution(x, filters[1], 5, groups, name="stage1")
    x = blocks.landmark(blocks.local_response_normalization(x) if two_towers else x, "stage1")
    x = layers.MaxPooling2D(3, 2, name="stage2_pool")(x)
    x = _convolution(x, filters[2], 3, name="stage2", number=1)  # the only one behind the stem that sees both towers
    x = _convolution(x, filters[3], 3, groups, name="stage2", number=2)
    x = _convolution(x, filters[4], 3, groups, name="stage2", number=3)
    x = blocks.landmark(x, "stage2")
    x = layers.MaxPooling2D(3, 2, name="features_pool")(x)
    return blocks.hidden_layers(x, dense or (512 if small else 4096), dropout)


def _stem(x: keras.KerasTensor, filters: int, small: bool) -> keras.KerasTensor:
    if small:
        return _convolution(x, filters, 5, name="stem")
    x = layers.ZeroPadding2D(2, name="stem_pad")(x)
    x = blocks.convolution(x, filters, 11, 4, padding="valid", use_bias=True, name="stem_conv")
    return blocks.activation(x, "relu", name="stem_relu")


def _convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, groups: int = 1, *, name: str, number: int | str = ""
) -> keras.KerasTensor:
    x = blocks.convolution(x, filters, kernel_size, groups=groups, use_bias=True, name=f"{name}_conv{number}")
    return blocks.activation(x, "relu", name=f"{name}_relu{number}")
