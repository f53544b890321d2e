"""Speed: a race in turns, by the clock alone."""

import pytest

from keras_imgcls.inference import speed


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds)`: a step that takes so long on a clock of its own, and the steps that were taken."""
    now, taken = [0.0], []
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])

    def step(seconds):
        def advance():
            now[0] += seconds
            taken.append(seconds)

        return advance

    return step, taken


def test_rates_are_images_by_seconds_and_turns_are_equally_long(clock):
    step, taken = clock
    speeds = speed.race({("a", "x"): (step(0.25), 32), ("b", "x"): (step(2.0), 8)}, rounds=3, turn=1.0)
    assert speeds == {("a", "x"): [128.0] * 3, ("b", "x"): [4.0] * 3}
    assert taken[:4] == [0.25, 0.25, 2.0, 2.0]
    assert taken[4:] == [0.25] * 4 + [2.0] + [2.0] + [0.25] * 4 + [0.25] * 4 + [2.0]
