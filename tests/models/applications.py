"""`keras.applications` as the reference: with the same random weights, our logits are theirs, from raw pixels on."""

import keras
import numpy as np

from keras_imgcls.models import classifier, conversion
from keras_imgcls.models.published import CAFFE, TORCH  # noqa: F401 for the tests of each family

CLASSES = 7

RANGES = {"gamma": (0.5, 1.5), "beta": (-0.3, 0.3), "moving_mean": (-0.3, 0.3), "moving_variance": (0.5, 1.5)}


def assert_same_logits(spec, application, preprocess, scaling, size, *, blue_first=False):
    """Fails unless `spec`, given the random weights of `application`, gives its logits within 1e-4 of the largest.

    Weights are copied layer by layer in the order of the two graphs, which are checked to have equal shapes so.
    """
    reference = application(weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None)
    model = classifier.build(spec, (size, size, 3), CLASSES, scaling)
    randomize(reference)
    conversion.copy_application(reference, model, blue_first)
    pixels = np.random.default_rng(1).integers(0, 256, (3, size, size, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(reference(preprocess(pixels.copy())))
    logits = keras.ops.convert_to_numpy(model(pixels))
    assert np.ptp(expected, axis=0).max() > 0.01 * np.abs(expected).max()  # pictures are told apart
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def weight_layers(model):
    """How many convolutions and dense layers `model` has, which is what families count in their names."""
    return sum(isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)) for layer in model.layers)


def randomize(model):
    """Random weights with which numbers neither die away nor grow."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.name in RANGES:
            variable.assign(random.uniform(*RANGES[variable.name], variable.shape))
        elif variable.name == "bias":
            variable.assign(random.uniform(-0.1, 0.1, variable.shape))
        else:
            # As He et al. have it: with Keras' own the numbers die away, and a wrong layer among twenty would pass.
            incoming = variable.shape[:2] if variable.shape[2:][1:] == (1,) else variable.shape[:-1]  # depthwise
            deviation = np.sqrt(2 / np.prod(incoming))
            variable.assign(random.normal(0, deviation, variable.shape).astype("float32"))
