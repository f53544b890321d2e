import pytest

from keras_imgcls.models import classifier
from keras_imgcls.tuning import costs


def test_costs_are_those_of_describe_and_of_a_real_int8_file():
    found = costs.of("plain_cnn(width=16)", (16, 16, 1), 10, True)
    described = classifier.describe(classifier.build("plain_cnn(width=16)", (16, 16, 1), 10))
    assert (found["parameters"], found["flops"]) == (described.parameters, described.macs)
    # One byte a weight, and what the graph itself takes.
    assert described.parameters < found["int8_kb"] * 1024 < 2 * described.parameters + 20_000
    assert found["latency_ms"] > 0
    assert set(costs.of("plain_cnn(width=4)", (16, 16, 1), 10, False)) == {"parameters", "flops"}


def test_a_limit_of_size_is_held_against_an_estimate_and_near_it_against_a_file():
    real = costs.of("plain_cnn(width=8)", (16, 16, 1), 10, True)["int8_kb"]
    far, near = (costs.of("plain_cnn(width=8)", (16, 16, 1), 10, False, limit_kb=real * times) for times in (2, 1.05))
    assert far["int8_kb"] == pytest.approx(real, rel=0.1)
    assert "latency_ms" not in far
    assert near["int8_kb"] == real
