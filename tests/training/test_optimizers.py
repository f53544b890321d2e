"""Learning rates of single variables, against an optimizer that has that rate for all."""

import keras
import numpy as np
import pytest

from keras_imgcls.training.optimizers import adamw, multiply_learning_rates, sgd
from tests.training.toy import make_config


def trajectory(make, learning_rate, multiple=None, steps=5):
    """Two variables after some steps on fixed gradients; the second one has the multiple."""
    draw = np.random.default_rng(0)
    variables = [keras.Variable(draw.normal(size=(3, 2))) for _ in range(2)]
    optimizer = make(learning_rate, make_config(weight_decay=0.1, momentum=0.9))
    multiply_learning_rates(optimizer, [] if multiple is None else [(variables[1], multiple)])
    optimizer.build(variables)
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(draw.normal(size=(3, 2)).astype("float32")) for _ in range(2)])
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_multiple_is_another_learning_rate_for_that_variable_alone(make):
    """Momentum, second moments and decoupled weight decay included."""
    mixed, slow, fast = trajectory(make, 0.1, 0.3), trajectory(make, 0.03), trajectory(make, 0.1)
    np.testing.assert_array_equal(mixed[0], fast[0])
    np.testing.assert_allclose(mixed[1], slow[1], rtol=1e-5)
    assert not np.allclose(mixed[1], fast[1])


def test_a_multiple_of_nought_stands_still():
    assert np.array_equal(trajectory(adamw, 0.1, 0.0)[1], trajectory(adamw, 0.1, 0.0, steps=0)[1])
