import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.errors import UserError
from keras_imgcls.training.averaging import ema, lookahead


def run(average, values, total=None):
    variable = keras.Variable([values[0]])
    average.build([variable])
    for step, value in enumerate(values[1:], start=1):
        variable.assign([value])
        average.update(tf.constant(step, tf.int64), tf.constant(step / (total or len(values))))
    return variable, average.shadow[0]


def test_ema_is_its_recursion():
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    _, shadow = run(ema(0.9), values)
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert float(shadow.value[0]) == pytest.approx(expected, rel=1e-5)


def test_lookahead_pulls_the_weights_back_every_few_steps():
    variable, shadow = run(lookahead(every=5, decay=0.95), [0.0, *[1.0] * 5], total=10)
    expected = 1.0 - 0.95**5 * 0.5**3
    assert float(variable.value[0]) == pytest.approx(expected, rel=1e-6)
    assert float(shadow.value[0]) == pytest.approx(expected, rel=1e-6)
    variable, shadow = run(lookahead(every=5, decay=0.95), [0.0, *[1.0] * 4], total=10)
    assert float(variable.value[0]) == 1.0 and float(shadow.value[0]) == 0.0


def test_swapping_twice_changes_nothing():
    average = ema(0.9)
    variable, shadow = run(average, [1.0, 2.0, 3.0])
    before = float(variable.value[0]), float(shadow.value[0])
    average.swap()
    assert (float(shadow.value[0]), float(variable.value[0])) == before
    average.swap()
    assert (float(variable.value[0]), float(shadow.value[0])) == before


@pytest.mark.parametrize("make", [lambda: ema(1.0), lambda: lookahead(0), lambda: lookahead(5, -0.1)])
def test_values_out_of_range(make):
    with pytest.raises(UserError, match="takes"):
        make()
