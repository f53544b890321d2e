"""Memory stays flat over long jobs: the peak grows by less than a leak of half a kilobyte a call would add."""

import io
import resource
import sys

import pytest

from keras_imgcls.inference import rows, stream
from tests.inference.test_sources import picture
from tests.inference.tiny import NAMES, digits


def peak():
    """The largest memory this process had so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
def test_fifty_thousand_calls(predictor):
    image = digits(1)
    for _ in range(5_000):
        predictor.predict(image)
    before = peak()
    for _ in range(50_000):
        predictor.predict(image)
    assert peak() - before < 50_000 * 512


class Forgetful(io.TextIOBase):
    """A stream that counts lines and keeps none."""

    lines = 0

    def write(self, text):
        self.lines += text.count("\n")
        return len(text)


@pytest.mark.slow
def test_a_hundred_thousand_files(predictor, tmp_path):
    path, out, peaks = picture(tmp_path / "a.png"), Forgetful(), []

    def answers():
        for number, prediction in enumerate(stream.predictions(predictor, [path] * 100_000)):
            if number in (10_000, 99_999):
                peaks.append(peak())
            yield from rows.rows_of(prediction, NAMES, 1)

    rows.WRITERS["csv"](out, answers(), [path], NAMES, False)
    assert out.lines == 100_001
    assert peaks[1] - peaks[0] < 90_000 * 512
