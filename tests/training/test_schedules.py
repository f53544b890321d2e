import math
import re

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import SCHEDULES
from keras_imgcls.training import schedules


def values(schedule, steps=1000):
    return np.array([float(schedule(step)) for step in range(steps)])


def test_warmup_cosine_rises_in_a_line_then_follows_half_a_cosine():
    rates = values(schedules.warmup_cosine(2.0, 1000, warmup=0.1))
    assert np.allclose(np.diff(rates[:99]), 0.02, atol=1e-4)
    assert rates[0] == pytest.approx(0.02, rel=1e-3)
    assert rates.max() == pytest.approx(2.0, rel=1e-3)
    expected = [2.0 * 0.5 * (1 + math.cos(math.pi * (step / 1000 - 0.1) / 0.9)) for step in range(101, 1000)]
    assert np.allclose(rates[101:], expected, atol=1e-5)


def test_one_cycle_is_the_triangle_of_the_speed_runs():
    rates = values(schedules.one_cycle(1.0, 1000, warmup=0.23, start=0.2, end=0.07))
    assert rates[0] == pytest.approx(0.2)
    assert rates[230] == pytest.approx(1.0, abs=1e-5)
    assert rates[999] == pytest.approx(0.07, abs=2e-3)
    assert np.all(np.diff(rates[:230]) > 0) and np.all(np.diff(rates[231:]) < 0)


def test_step_drops_where_it_is_told():
    rates = values(schedules.step(1.0, 100, at=(0.5, 0.75), factor=0.1), 100)
    assert np.allclose(rates, [1.0] * 50 + [0.1] * 25 + [0.01] * 25)


def test_constant():
    assert set(values(schedules.constant(0.3, 10), 10)) == {np.float32(0.3)}


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_schedule_stays_between_zero_and_its_peak(name):
    rates = values(SCHEDULES.get(name)(0.5, 100), 100)
    assert np.isfinite(rates).all() and rates.min() >= 0 and rates.max() <= 0.5 + 1e-6 and rates.max() > 0


def test_shares_out_of_range_are_named():
    with pytest.raises(UserError, match=re.escape("warmup_cosine takes warmup between 0 and 1; received 5.")):
        schedules.warmup_cosine(0.1, 100, warmup=5)
