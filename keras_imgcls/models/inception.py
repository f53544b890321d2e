"""Inception v1, also called GoogLeNet, and v3: modules of several convolutions side by side.

The papers: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842, table 1; 2015, https://arxiv.org/abs/1512.00567.

`inception_v1` is the paper's, with local response normalisation: 6,998,552 parameters at 1000 classes, as Caffe's
`bvlc_googlenet` without auxiliary heads has. `inception_v1_bn` is what goes by that name in torchvision: with batch
normalisation, 3x3 where the paper has 5x5, a last pool of 2x2; 6,624,904 parameters. `inception_v3` is that of
`keras.applications` and TF-Slim: normalisations have no scale, since the next convolution can do it; 23,817,352.

Auxiliary heads, which both have in training only, are those of `auxiliary`: see `--auxiliary_weight`. Stems for small
images halve the sides once, where ImageNet's do so three times.
"""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import auxiliary, blocks
from keras_imgcls.models.blocks import Multiplier, Rate, Stem

# Channels of v1's modules: 1x1; 1x1 and 3x3; 1x1 and 5x5; behind the pool.
V1_MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)

V1_TAPS = ("stage2_block0_concat", "stage2_block3_concat")  # 4a and 4d of the paper


@MODELS.register(smallest=8, auxiliary=(V1_TAPS, auxiliary.inception_v1))
def inception_v1(
    x: keras.KerasTensor, width: Multiplier = 1.0, dropout: Rate = 0.4, stem: Stem = "auto"
) -> keras.KerasTensor:
    """Inception v1 (GoogLeNet), 7.00 M parameters for ImageNet; 68.7 % there (Caffe)."""
    return _inception_v1(x, width, dropout, stem, normalized=False)


@MODELS.register(smallest=8, auxiliary=(V1_TAPS, auxiliary.inception_v1_bn))
def inception_v1_bn(
    x: keras.KerasTensor, width: Multiplier = 1.0, dropout: Rate = 0.2, stem: Stem = "auto"
) -> keras.KerasTensor:
    """Inception v1 with batch normalisation, 6.62 M parameters for ImageNet; 69.78 % there (torchvision)."""
    return _inception_v1(x, width, dropout, stem, normalized=True)


@MODELS.register(smallest=16, auxiliary=(("stage2",), auxiliary.inception_v3))
def inception_v3(
    x: keras.KerasTensor, width: Multiplier = 1.0, dropout: Rate = 0.2, stem: Stem = "auto"
) -> keras.KerasTensor:
    """Inception v3, 23.82 M parameters for ImageNet; 77.9 % there at 299 px (Keras)."""
    convolve = partial(_convolution, width=width, normalized=True, scale=False)
    x = blocks.landmark(_v3_stem(x, convolve, blocks.is_small(x, stem, smallest=75)), "stem")
    for block, filters in enumerate((32, 64, 64)):
        x = _v3_module_5x5(x, convolve, filters, name=f"stage1_block{block}")
    x = blocks.landmark(x, "stage1")
    x = _v3_reduction_to_stage2(x, convolve, name="stage2_block0")
    for block, filters in enumerate((128, 160, 160, 192), 1):
        x = _v3_module_7x7(x, convolve, filters, name=f"stage2_block{block}")
    x = blocks.landmark(x, "stage2")
    x = _v3_reduction_to_stage3(x, convolve, name="stage3_block0")
    for block in (1, 2):
        x = _v3_module_split(x, convolve, name=f"stage3_block{block}")
    return blocks.channel_dropout(blocks.landmark(x, "stage3"), dropout)


def _inception_v1(
    x: keras.KerasTensor, width: float, dropout: float, stem: str, *, normalized: bool
) -> keras.KerasTensor:
    convolve = partial(_convolution, width=width, normalized=normalized)
    x = _v1_stem(x, convolve, blocks.is_small(x, stem), normalized)
    for stage, modules in enumerate(V1_MODULES, 1):
        if stage > 1:
            size = 2 if normalized and stage == 3 else 3
            x = layers.MaxPooling2D(size, 2, "same", name=f"stage{stage}_pool")(x)
        for block, filters in enumerate(modules):
            large = 3 if normalized else 5
            x = _v1_module(x, convolve, filters, large, name=f"stage{stage}_block{block}")
        x = blocks.landmark(x, f"stage{stage}")
    return blocks.channel_dropout(x, dropout)


def _v1_stem(x: keras.KerasTensor, convolve: Callable, small: bool, normalized: bool) -> keras.KerasTensor:
    local = (lambda x: x) if normalized else blocks.local_response_normalization
    if small:
        x = convolve(x, 64, 3, name="stem_first")
    else:
        x = layers.ZeroPadding2D(3, name="stem_pad")(x)
        x = convolve(x, 64, 7, 2, "valid", name="stem_first")
    x = local(layers.MaxPooling2D(3, 2, "same", name="stem_pool1")(x))
    x = convolve(x, 64, 1, name="stem_reduce")
    x = local(convolve(x, 192, 3, name="stem_second"))
    if not small:
        x = layers.MaxPooling2D(3, 2, "same", name="stem_pool2")(x)
    return blocks.landmark(x, "stem")


def _v1_module(
    x: keras.KerasTensor, convolve: Callable, filters: tuple[int, ...], large: int, *, name: str
) -> keras.KerasTensor:
    one, reduce3, three, reduce5, five, pooled = filters
    branches = [
        convolve(x, one, 1, name=f"{name}_1x1"),
        convolve(convolve(x, reduce3, 1, name=f"{name}_3x3_reduce"), three, 3, name=f"{name}_3x3"),
        convolve(convolve(x, reduce5, 1, name=f"{name}_5x5_reduce"), five, large, name=f"{name}_5x5"),
        convolve(layers.MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x), pooled, 1, name=f"{name}_pooled"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _v3_stem(x: keras.KerasTensor, convolve: Callable, small: bool) -> keras.KerasTensor:
    padding = "same" if small else "valid"
    x = convolve(x, 32, 3, 1 if small else 2, padding, name="stem_1")
    x = convolve(x, 32, 3, 1, padding, name="stem_2")
    x = convolve(x, 64, 3, name="stem_3")
    x = layers.MaxPooling2D(3, 2, padding, name="stem_pool1")(x)
    x = convolve(x, 80, 1, name="stem_4")
    x = convolve(x, 192, 3, 1, padding, name="stem_5")
    return x if small else layers.MaxPooling2D(3, 2, name="stem_pool2")(x)


def _v3_module_5x5(x: keras.KerasTensor, convolve: Callable, pooled: int, *, name: str) -> keras.KerasTensor:
    branches = [
        convolve(x, 64, 1, name=f"{name}_1x1"),
        _chain(x, convolve, ((48, 1), (64, 5)), name=f"{name}_5x5"),
        _chain(x, convolve, ((64, 1), (96, 3), (96, 3)), name=f"{name}_double"),
        _pooled(x, convolve, pooled, name=name),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _v3_module_7x7(x: keras.KerasTensor, convolve: Callable, filters: int, *, name: str) -> keras.KerasTensor:
    single = ((filters, 1), (filters, (1, 7)), (192, (7, 1)))
    double = ((filters, 1), (filters, (7, 1)), (filters, (1, 7)), (filters, (7, 1)), (192, (1, 7)))
    branches = [
        convolve(x, 192, 1, name=f"{name}_1x1"),
        _chain(x, convolve, single, name=f"{name}_7x7"),
        _chain(x, convolve, double, name=f"{name}_double"),
        _pooled(x, convolve, 192, name=name),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _v3_module_split(x: keras.KerasTensor, convolve: Callable, *, name: str) -> keras.KerasTensor:
    single = convolve(x, 384, 1, name=f"{name}_3x3")
    double = _chain(x, convolve, ((448, 1), (384, 3)), name=f"{name}_double")
    branches = [
        convolve(x, 320, 1, name=f"{name}_1x1"),
        _split(single, convolve, name=f"{name}_3x3"),
        _split(double, convolve, name=f"{name}_double"),
        _pooled(x, convolve, 192, name=name),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _v3_reduction_to_stage2(x: keras.KerasTensor, convolve: Callable, *, name: str) -> keras.KerasTensor:
    double = _chain(x, convolve, ((64, 1), (96, 3)), name=f"{name}_double")
    branches = [
        convolve(x, 384, 3, 2, "valid", name=f"{name}_3x3"),
        convolve(double, 96, 3, 2, "valid", name=f"{name}_double_last"),
        layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _v3_reduction_to_stage3(x: keras.KerasTensor, convolve: Callable, *, name: str) -> keras.KerasTensor:
    single = convolve(x, 192, 1, name=f"{name}_3x3")
    seven = _chain(x, convolve, ((192, 1), (192, (1, 7)), (192, (7, 1))), name=f"{name}_7x7")
    branches = [
        convolve(single, 320, 3, 2, "valid", name=f"{name}_3x3_last"),
        convolve(seven, 192, 3, 2, "valid", name=f"{name}_7x7_last"),
        layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _chain(x: keras.KerasTensor, convolve: Callable, kernels: tuple, *, name: str) -> keras.KerasTensor:
    for number, (filters, kernel_size) in enumerate(kernels, 1):
        x = convolve(x, filters, kernel_size, name=f"{name}_{number}")
    return x


def _split(x: keras.KerasTensor, convolve: Callable, *, name: str) -> keras.KerasTensor:
    rows, columns = (convolve(x, 384, size, name=f"{name}_{size[0]}x{size[1]}") for size in ((1, 3), (3, 1)))
    return layers.Concatenate(name=f"{name}_split")([rows, columns])


def _pooled(x: keras.KerasTensor, convolve: Callable, filters: int, *, name: str) -> keras.KerasTensor:
    x = layers.AveragePooling2D(3, 1, "same", name=f"{name}_pool")(x)
    return convolve(x, filters, 1, name=f"{name}_pooled")


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    padding: str = "same",
    *,
    width: float,
    normalized: bool,
    scale: bool = True,
    name: str,
) -> keras.KerasTensor:
    """Convolution and ReLU, `width` times `filters` channels, with a normalisation between them or a bias."""
    x = layers.Conv2D(
        max(1, round(filters * width)),
        kernel_size,
        strides,
        padding,
        use_bias=not normalized,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    if normalized:
        x = blocks.normalization(x, scale=scale, epsilon=1e-3, name=f"{name}_norm")
    return blocks.activation(x, "relu", name=f"{name}_relu")
