from keras_imgcls.models import classifier
from keras_imgcls.models import costs as estimates
from keras_imgcls.tuning import costs


def test_costs_are_those_of_describe_and_of_a_real_int8_file():
    found = costs.of("plain_cnn(width=16)", (16, 16, 1), 10, True)
    described = classifier.describe(classifier.build("plain_cnn(width=16)", (16, 16, 1), 10))
    assert (found["parameters"], found["flops"]) == (described.parameters, described.macs)
    # One byte a weight, and what the graph itself takes.
    assert described.parameters < found["int8_kb"] * 1024 < 2 * described.parameters + 20_000
    assert found["latency_ms"] > 0
    assert set(costs.of("plain_cnn(width=4)", (16, 16, 1), 10, False)) == {"parameters", "flops"}


def test_a_limit_of_size_is_held_against_an_estimate_and_near_it_against_a_file(monkeypatch):
    monkeypatch.setattr(costs, "_int8", lambda model, shape: bytes(2048))
    monkeypatch.setattr(costs, "_latency", lambda content: 1.0)
    model, shape = "plain_cnn(width=8)", (16, 16, 1)
    estimate = estimates.tflite_bytes(classifier.build(model, shape, 10))[1] / 1024
    found = [costs.of(model, shape, 10, False, limit_kb=estimate * times)["int8_kb"] for times in (0.5, 0.9, 1.1, 2)]
    assert found == [estimate, 2, 2, estimate]
