"""The network of the CIFAR-10 speed runs (K. Jordan 2024, https://arxiv.org/abs/2404.00498).

A 2x2 convolution whitens patches: its kernel is computed from training images and frozen, only its bias is trained.
Three stages of two 3x3 convolutions follow, with a max-pool behind the first of each, then a global max-pool and a head
without bias whose logits are divided by 9. Map sizes at 32 px: 31, 15, 7, 3, 1. Each 3x3 convolution begins as the
identity, as far as its input channels go. Constants are those of https://github.com/KellerJordan/cifar10-airbench
(`legacy/airbench94.py`, `airbench/lib_airbench93.py`), where the last pool is 3x3: the same at 32 px.
"""

from typing import Annotated

import keras
import numpy as np
from keras import layers, ops

from keras_imgcls.core.arguments import Several, Whole
from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Function

WHITENING_IMAGES = 5000
Widths = Annotated[tuple[int, int, int], Several(Whole(1, 4096), 3)]


def whiten(model: keras.Model, images: np.ndarray) -> None:
    """Sets the whitening kernel of a speed-run network from training images.

    The filters are the eigenvectors of the (uncentred) covariance of all 2x2 patches, each divided by the root of its
    eigenvalue, and their negations.

    Args:
        model: built by `classifier.build`, so that it has the layers `scaling` and `stem_whitening`.
        images: uint8 or float, grey levels, of shape (n, height, width, channels); the first 5,000 are looked at.
    """
    covariance = _patch_covariance(model.get_layer("scaling"), images[:WHITENING_IMAGES])
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    # The paper's 5e-4 is meant for pixels of mean square 1; under other scalings it is the same share of theirs.
    epsilon = 5e-4 * np.trace(covariance) / len(covariance)
    filters = (eigenvectors / np.sqrt(eigenvalues + epsilon))[:, ::-1]
    kernel = model.get_layer("stem_whitening").kernel
    kernel.assign(np.concatenate([filters, -filters], axis=1).reshape(kernel.shape))


@MODELS.register(initialize=whiten, pool="max", head_bias=False, logit_scale=1 / 9, smallest=16)
def speednet94(
    x: keras.KerasTensor, widths: Widths = (64, 256, 256), activation: Function = "gelu"
) -> keras.KerasTensor:
    """The speed-run network, 2.0 M parameters; 94.0 % on CIFAR-10 in 9.9 epochs with its recipe (Jordan 2024)."""
    return _speednet(x, widths, activation)


@MODELS.register(initialize=whiten, pool="max", head_bias=False, logit_scale=1 / 9, smallest=16)
def speednet93(
    x: keras.KerasTensor, widths: Widths = (64, 128, 128), activation: Function = "gelu"
) -> keras.KerasTensor:
    """The narrow speed-run network, 0.6 M parameters, half the work; 93.0 % on CIFAR-10 in 11 epochs (airbench93)."""
    return _speednet(x, widths, activation)


def _speednet(x: keras.KerasTensor, widths: tuple[int, int, int], activation: str) -> keras.KerasTensor:
    x = _whitening_stem(x, activation)
    for stage, filters in enumerate(widths, 1):
        x = _stage(x, filters, activation, name=f"stage{stage}")
    return x


def _whitening_stem(x: keras.KerasTensor, activation: str) -> keras.KerasTensor:
    filters = 8 * x.shape[-1]  # the patch has 4 numbers per channel, and each eigenvector is there twice
    whitening = layers.Conv2D(
        filters, 2, use_bias=False, kernel_initializer="orthogonal", trainable=False, name="stem_whitening"
    )
    # `trainable` belongs to whole layers in Keras, so the bias is a layer of its own: a row of weights for the input 1.
    # That 1 is a pixel times 0: `ones_like` would bring tensors of unknown shape into TFLite.
    one = layers.Rescaling(0.0, 1.0, name="stem_one")(x[:, :1, :1, :1])
    bias = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="zeros", name="stem_bias")(one)
    x = layers.Add(name="stem_add")([whitening(x), bias])
    return blocks.landmark(blocks.activation(x, activation, name=f"stem_{activation}"), "stem")


def _stage(x: keras.KerasTensor, filters: int, activation: str, *, name: str) -> keras.KerasTensor:
    for number in (1, 2):
        x = _identity_convolution(x, filters, name=f"{name}_conv{number}")
        if number == 1:  # before the normalisation: that has four times fewer pixels to do
            x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        # The scale is frozen at 1 in the paper. Momentum 0.6: two steps renew 64 % of the running statistics.
        x = blocks.normalization(x, momentum=0.6, scale=False, name=f"{name}_norm{number}")
        x = blocks.activation(x, activation, name=f"{name}_{activation}{number}")
    return blocks.landmark(x, name)


def _identity_convolution(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    """A 3x3 convolution whose first filters pass their channel on (Dirac initialisation)."""
    initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")  # PyTorch's: within 1 / sqrt(fan_in)
    layer = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=initializer, name=name)
    y = layer(x)
    # Written into the finished kernel: an initializer of our own would stand in the file, which Keras alone must read.
    kernel = np.array(ops.convert_to_numpy(layer.kernel))
    passed = min(x.shape[-1], filters)
    kernel[..., :passed] = 0
    kernel[1, 1, range(passed), range(passed)] = 1
    layer.kernel.assign(kernel)
    return y


def _patch_covariance(scaling: layers.Layer, images: np.ndarray) -> np.ndarray:
    """Second moments (float64) of the 2x2 patches of scaled images, in a kernel's order: row, column, channel."""
    height, width, channels = images.shape[1:]
    batch = max(1, 4_000_000 // (height * width * 4 * channels))  # patches of 16 MB at a time
    total, count = np.zeros((4 * channels, 4 * channels)), 0
    for start in range(0, len(images), batch):
        x = ops.convert_to_numpy(scaling(images[start : start + batch].astype("float32")))
        corners = [x[:, dy : height - 1 + dy, dx : width - 1 + dx] for dy in (0, 1) for dx in (0, 1)]
        patches = np.concatenate(corners, axis=-1).reshape(-1, 4 * channels)
        total, count = total + patches.T @ patches, count + len(patches)
    return total / count
