"""EfficientNetV2-S (Tan and Le 2021, https://arxiv.org/abs/2104.00298, table 4): full convolutions in the first stages.

The numbers are those of the authors' code, which torchvision and `keras.applications` share: a last convolution of 1280
channels, 1792 in the paper's table. For small images neither the stem nor the first strided stage has strides.
"""

import math

import keras

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Multiplier, Rate, Stem
from keras_imgcls.models.inverted_residual import (
    convolution_block,
    divisible,
    fused_inverted_residual,
    inverted_residual,
    stage_strides,
)

# Blocks, strides, expansion, filters; the first three stages are fused, the others have squeeze and excitation.
FUSED = 3
STAGES = ((2, 1, 1, 24), (4, 2, 4, 48), (4, 2, 4, 64), (6, 2, 4, 128), (9, 1, 6, 160), (15, 2, 6, 256))


@MODELS.register(smallest=8)
def efficientnet_v2_s(
    x: keras.KerasTensor,
    width: Multiplier = 1.0,
    depth: Multiplier = 1.0,
    dropout: Rate = 0.2,
    stochastic_depth: Rate = 0.2,
    stem: Stem = "auto",
) -> keras.KerasTensor:
    """EfficientNetV2-S, 21.46 M parameters for ImageNet; 83.9 % there at 384 px (Tan and Le 2021, table 7)."""
    small = blocks.is_small(x, stem)
    x = convolution_block(x, divisible(24 * width), 3, 1 if small else 2, "silu", name="stem")
    x = blocks.landmark(x, "stem")
    depths = [math.ceil(depth * repeats) for repeats, *_ in STAGES]
    strides = stage_strides([step for _, step, *_ in STAGES], small)
    for stage, (_, _, expansion, filters) in enumerate(STAGES):
        for block in range(depths[stage]):
            x = _block(
                x,
                divisible(filters * width),
                strides[stage] if block == 0 else 1,
                expansion * x.shape[-1],
                stage < FUSED,
                stochastic_depth * (sum(depths[:stage]) + block) / sum(depths),
                name=f"stage{stage + 1}_block{block}",
            )
        x = blocks.landmark(x, f"stage{stage + 1}")
    x = convolution_block(x, divisible(1280 * width), 1, 1, "silu", name="features")
    return blocks.channel_dropout(x, dropout)


def _block(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    expanded: int,
    fused: bool,
    stochastic_depth: float,
    *,
    name: str,
) -> keras.KerasTensor:
    if fused:
        return fused_inverted_residual(
            x, filters, 3, strides, expanded, "silu", name=name, stochastic_depth=stochastic_depth
        )
    return inverted_residual(
        x,
        filters,
        3,
        strides,
        expanded,
        "silu",
        name=name,
        squeezed=max(1, x.shape[-1] // 4),
        stochastic_depth=stochastic_depth,
    )
