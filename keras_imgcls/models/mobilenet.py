"""MobileNet V2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381) and V3 (Howard et al. 2019,
https://arxiv.org/abs/1905.02244, tables 1 and 2): inverted residuals for phones.

V2 has no squeeze and excitation and only ReLU6, so that it loses little in 8 bits. V3's last convolution stands behind
the global average: its features are a vector. Parameters are those of torchvision and `keras.applications`.

For small images neither the stem nor the first strided stage has strides: sides are divided by 8, not by 32.
"""

import math

import keras
from keras import layers

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Multiplier, Rate, Stem
from keras_imgcls.models.inverted_residual import convolution_block, divisible, inverted_residual, stage_strides

# Blocks, strides, expansion, filters.
V2_STAGES = ((1, 1, 1, 16), (2, 2, 6, 24), (3, 2, 6, 32), (4, 2, 6, 64), (3, 1, 6, 96), (3, 2, 6, 160), (1, 1, 6, 320))

# Strides; then of each block expanded and projected channels at width 1, kernel size, squeezed or not, activation.
SQUEEZED, PLAIN = True, False
V3_SMALL = (
    (2, ((16, 16, 3, SQUEEZED, "relu"),)),
    (2, ((72, 24, 3, PLAIN, "relu"), (88, 24, 3, PLAIN, "relu"))),
    (
        2,
        (
            (96, 40, 5, SQUEEZED, "hard_silu"),
            *((240, 40, 5, SQUEEZED, "hard_silu"),) * 2,
            (120, 48, 5, SQUEEZED, "hard_silu"),
            (144, 48, 5, SQUEEZED, "hard_silu"),
        ),
    ),
    (2, ((288, 96, 5, SQUEEZED, "hard_silu"), *((576, 96, 5, SQUEEZED, "hard_silu"),) * 2)),
)
V3_LARGE = (
    (1, ((16, 16, 3, PLAIN, "relu"),)),
    (2, ((64, 24, 3, PLAIN, "relu"), (72, 24, 3, PLAIN, "relu"))),
    (2, ((72, 40, 5, SQUEEZED, "relu"), *((120, 40, 5, SQUEEZED, "relu"),) * 2)),
    (
        2,
        (
            (240, 80, 3, PLAIN, "hard_silu"),
            (200, 80, 3, PLAIN, "hard_silu"),
            *((184, 80, 3, PLAIN, "hard_silu"),) * 2,
            (480, 112, 3, SQUEEZED, "hard_silu"),
            (672, 112, 3, SQUEEZED, "hard_silu"),
        ),
    ),
    (2, ((672, 160, 5, SQUEEZED, "hard_silu"), *((960, 160, 5, SQUEEZED, "hard_silu"),) * 2)),
)


@MODELS.register(smallest=8)
def mobilenet_v2(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    depth: Multiplier = 1.0,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """MobileNet V2, 3.50 M parameters for ImageNet; 71.88 % there (torchvision)."""
    small = blocks.is_small(x, stem)
    x = convolution_block(x, divisible(32 * width), 3, 1 if small else 2, "relu6", name="stem")
    x = blocks.landmark(x, "stem")
    depths = [math.ceil(depth * repeats) for repeats, *_ in V2_STAGES]
    strides = stage_strides([step for _, step, *_ in V2_STAGES], small)
    for stage, (_, _, expansion, filters) in enumerate(V2_STAGES):
        for block in range(depths[stage]):
            x = inverted_residual(
                x,
                divisible(int(filters * width)),
                3,
                strides[stage] if block == 0 else 1,
                expansion * x.shape[-1],
                "relu6",
                name=f"stage{stage + 1}_block{block}",
                stochastic_depth=stochastic_depth * (sum(depths[:stage]) + block) / sum(depths),
            )
        x = blocks.landmark(x, f"stage{stage + 1}")
    # Narrow ones keep the 1280: the paper has it so.
    x = convolution_block(x, divisible(1280 * max(1, width)), 1, 1, "relu6", name="features")
    return blocks.channel_dropout(x, dropout)


@MODELS.register(smallest=8)
def mobilenet_v3_small(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """MobileNet V3 small, 2.54 M parameters for ImageNet; 67.67 % there (torchvision)."""
    return _mobilenet_v3(x, V3_SMALL, 1024, width, dropout, stochastic_depth, stem)


@MODELS.register(smallest=8)
def mobilenet_v3_large(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.0,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """MobileNet V3 large, 5.48 M parameters for ImageNet; 74.04 % there (torchvision)."""
    return _mobilenet_v3(x, V3_LARGE, 1280, width, dropout, stochastic_depth, stem)


def _mobilenet_v3(
    x: keras.KerasTensor,
    stages: tuple,
    features: int,
    width: float,
    dropout: float,
    stochastic_depth: float,
    stem: str,
) -> keras.KerasTensor:
    small = blocks.is_small(x, stem)
    x = blocks.landmark(convolution_block(x, 16, 3, 1 if small else 2, "hard_silu", name="stem"), "stem")
    strides = stage_strides([step for step, _ in stages], small)
    done, total, before = 0, sum(len(rows) for _, rows in stages), 16
    for stage, (_, rows) in enumerate(stages):
        for block, (expanded, filters, kernel_size, squeezed, function) in enumerate(rows):
            # By the ratio, as the reference has it: channels are rounded twice, first those that come in.
            expanded_here = divisible(expanded / before * x.shape[-1])
            x = inverted_residual(
                x,
                divisible(filters * width),
                kernel_size,
                strides[stage] if block == 0 else 1,
                expanded_here,
                function,
                name=f"stage{stage + 1}_block{block}",
                squeezed=divisible(expanded_here / 4) if squeezed else 0,
                gates=("relu", "hard_sigmoid"),
                stochastic_depth=stochastic_depth * done / total,
            )
            done, before = done + 1, filters
        x = blocks.landmark(x, f"stage{stage + 1}")
    return _last_convolution(x, divisible(features * max(1, width)), dropout)


def _last_convolution(x: keras.KerasTensor, filters: int, dropout: float) -> keras.KerasTensor:
    """A vector: the last convolution looks at the map's average, so it is a dense layer."""
    x = convolution_block(x, divisible(6 * x.shape[-1]), 1, 1, "hard_silu", name="features")
    x = layers.GlobalAveragePooling2D(name="features_pool")(x)
    x = layers.Dense(filters, kernel_initializer="he_normal", name="features_dense")(x)
    x = blocks.activation(x, "hard_silu", name="features_dense_hard_silu")
    return layers.Dropout(dropout, name="features_dropout")(x) if dropout else x
