"""EfficientNet B0 to B7 (Tan and Le 2019, https://arxiv.org/abs/1905.11946, table 1) and lite0 to lite4
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): one network in several sizes.

`width` and `depth` are the papers' multipliers. The lite ones are for 8 bits: ReLU6 for SiLU, no squeeze and
excitation, stem and last convolution of any width as lite0's, first and last stage of any depth too. Parameters are
those of torchvision and `keras.applications`, and for lite of the authors' `efficientnet_lite_builder_test.py`.

For small images neither the stem nor the first strided stage has strides: sides are divided by 8, not by 32.
"""

import math

import keras

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Multiplier, Rate, Stem
from keras_imgcls.models.inverted_residual import convolution_block, divisible, inverted_residual, stage_strides

# Blocks, kernel size, strides, expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@MODELS.register(smallest=8)
def efficientnet_b0(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    depth: Multiplier = 1.0,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B0, 5.29 M parameters for ImageNet; 77.1 % there at 224 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b1(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    depth: Multiplier = 1.1,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B1, 7.79 M parameters for ImageNet; 79.1 % there at 240 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b2(
    x: keras.KerasTensor,
    width: Multiplier = 1.1,
    depth: Multiplier = 1.2,
    dropout: Rate = 0.3,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B2, 9.11 M parameters for ImageNet; 80.1 % there at 260 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b3(
    x: keras.KerasTensor,
    width: Multiplier = 1.2,
    depth: Multiplier = 1.4,
    dropout: Rate = 0.3,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B3, 12.23 M parameters for ImageNet; 81.6 % there at 300 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b4(
    x: keras.KerasTensor,
    width: Multiplier = 1.4,
    depth: Multiplier = 1.8,
    dropout: Rate = 0.4,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B4, 19.34 M parameters for ImageNet; 82.9 % there at 380 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b5(
    x: keras.KerasTensor,
    width: Multiplier = 1.6,
    depth: Multiplier = 2.2,
    dropout: Rate = 0.4,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B5, 30.39 M parameters for ImageNet; 83.6 % there at 456 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b6(
    x: keras.KerasTensor,
    width: Multiplier = 1.8,
    depth: Multiplier = 2.6,
    dropout: Rate = 0.5,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B6, 43.04 M parameters for ImageNet; 84.0 % there at 528 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_b7(
    x: keras.KerasTensor,
    width: Multiplier = 2.0,
    depth: Multiplier = 3.1,
    dropout: Rate = 0.5,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-B7, 66.35 M parameters for ImageNet; 84.3 % there at 600 px (Keras)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=False)


@MODELS.register(smallest=8)
def efficientnet_lite0(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    depth: Multiplier = 1.0,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-lite0, 4.65 M parameters for ImageNet; 75.1 % there at 224 px (the authors)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=True)


@MODELS.register(smallest=8)
def efficientnet_lite1(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    depth: Multiplier = 1.1,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-lite1, 5.42 M parameters for ImageNet; 76.7 % there at 240 px (the authors)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=True)


@MODELS.register(smallest=8)
def efficientnet_lite2(
    x: keras.KerasTensor,
    width: Multiplier = 1.1,
    depth: Multiplier = 1.2,
    dropout: Rate = 0.3,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-lite2, 6.09 M parameters for ImageNet; 77.6 % there at 260 px (the authors)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=True)


@MODELS.register(smallest=8)
def efficientnet_lite3(
    x: keras.KerasTensor,
    width: Multiplier = 1.2,
    depth: Multiplier = 1.4,
    dropout: Rate = 0.3,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-lite3, 8.20 M parameters for ImageNet; 79.8 % there at 280 px (the authors)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=True)


@MODELS.register(smallest=8)
def efficientnet_lite4(
    x: keras.KerasTensor,
    width: Multiplier = 1.4,
    depth: Multiplier = 1.8,
    dropout: Rate = 0.3,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNet-lite4, 13.01 M parameters for ImageNet; 81.5 % there at 300 px (the authors)."""
    return _efficientnet(x, width, depth, dropout, stochastic_depth, stem, lite=True)


def _efficientnet(
    x: keras.KerasTensor, width: float, depth: float, dropout: float, stochastic_depth: float, stem: str, *, lite: bool
) -> keras.KerasTensor:
    function, small = "relu6" if lite else "silu", blocks.is_small(x, stem)
    ends = 1.0 if lite else width
    x = convolution_block(x, divisible(32 * ends), 3, 1 if small else 2, function, name="stem")
    x = blocks.landmark(x, "stem")
    depths, strides = _depths(depth, lite), stage_strides([stage[2] for stage in STAGES], small)
    for stage, (_, kernel_size, _, expansion, filters) in enumerate(STAGES):
        for block in range(depths[stage]):
            x = inverted_residual(
                x,
                divisible(filters * width),
                kernel_size,
                strides[stage] if block == 0 else 1,
                expansion * x.shape[-1],
                function,
                name=f"stage{stage + 1}_block{block}",
                squeezed=0 if lite else max(1, x.shape[-1] // 4),
                stochastic_depth=stochastic_depth * (sum(depths[:stage]) + block) / sum(depths),
            )
        x = blocks.landmark(x, f"stage{stage + 1}")
    x = convolution_block(x, divisible(1280 * ends), 1, 1, function, name="features")
    return blocks.channel_dropout(x, dropout)


def _depths(depth: float, lite: bool) -> list[int]:
    depths = [math.ceil(depth * stage[0]) for stage in STAGES]
    return [STAGES[0][0], *depths[1:-1], STAGES[-1][0]] if lite else depths
