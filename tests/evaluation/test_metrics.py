import math

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.manifest import one_hot
from keras_imgcls.evaluation.metrics import evaluate, evaluate_predictions

NAMES = ("cat", "dog", "eel")


def example(count=500, classes=7, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes)).astype(np.float32) + 1.5 * one_hot(truth, classes)
    return logits, truth


def test_small_numbers_by_hand():
    """cat, cat, cat, dog; predicted cat, cat, dog, dog: nothing is an eel, and nothing is called one."""
    truth, guess = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = evaluate_predictions(10 * one_hot(guess, 3), one_hot(truth, 3), NAMES)
    assert found.accuracy == 0.75
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    cat, dog, eel = found.per_class
    assert (cat.name, cat.precision, cat.recall, cat.f1, cat.support) == (
        "cat",
        1,
        pytest.approx(2 / 3),
        pytest.approx(0.8),
        3,
    )
    assert (dog.precision, dog.recall, dog.f1, dog.support) == (0.5, 1, pytest.approx(2 / 3), 1)
    assert all(map(math.isnan, (eel.precision, eel.recall, eel.f1))) and eel.support == 0
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    right, wrong = math.log1p(2 * math.exp(-10)), 10 + math.log1p(2 * math.exp(-10))
    assert found.loss == pytest.approx((3 * right + wrong) / 4)


def test_a_brute_force_count_agrees():
    logits, truth = example()
    found = evaluate_predictions(logits, one_hot(truth, 7), [str(index) for index in range(7)])
    order = [sorted(range(7), key=lambda k: -row[k]) for row in logits.tolist()]
    assert found.accuracy == np.mean([first[0] == label for first, label in zip(order, truth, strict=True)])
    assert found.top5_accuracy == np.mean([label in first[:5] for first, label in zip(order, truth, strict=True)])
    losses = [
        math.log(sum(math.exp(x) for x in row)) - row[label] for row, label in zip(logits.tolist(), truth, strict=True)
    ]
    assert found.loss == pytest.approx(np.mean(losses))
    assert found.confusion.sum() == 500 and np.trace(found.confusion) == round(found.accuracy * 500)
    for index, score in enumerate(found.per_class):
        hits = found.confusion[index, index]
        assert score.precision == pytest.approx(hits / found.confusion[:, index].sum())
        assert score.recall == pytest.approx(hits / score.support)


def test_the_summary_is_what_metrics_json_holds():
    logits, truth = example()
    summary = evaluate_predictions(logits, one_hot(truth, 7), "abcdefg").summary()
    assert list(summary) == ["accuracy", "accuracy_low", "accuracy_high", "loss", "count"]
    assert 0 < summary["accuracy_low"] < summary["accuracy"] < summary["accuracy_high"] < 1
    assert summary["count"] == 500 and all(type(value) in (int, float) for value in summary.values())


def test_top5_says_nothing_of_five_classes_and_is_never_below_accuracy():
    logits, truth = example(classes=5)
    assert evaluate_predictions(logits, one_hot(truth, 5), "abcde").top5_accuracy is None
    constant = evaluate_predictions(np.zeros((20, 20)), np.eye(20), [str(index) for index in range(20)])
    assert (constant.accuracy, constant.top5_accuracy) == (1 / 20, 5 / 20)


def test_huge_logits_overflow_nothing():
    found = evaluate_predictions(np.array([[1e4, -1e4], [1e4, -1e4]]), np.eye(2), "ab")
    assert found.loss == pytest.approx(1e4)


def test_batches_are_evaluated_as_one():
    logits, truth = example(count=50)
    images = logits.reshape(50, 1, 7, 1)
    labels, ids = one_hot(truth, 7), np.arange(100, 150)
    batches = [(images[at : at + 8], labels[at : at + 8], ids[at : at + 8]) for at in range(0, 50, 8)]
    found = evaluate(lambda batch: batch.reshape(len(batch), 7), batches, "abcdefg", excluded=3)
    whole = evaluate_predictions(logits, labels, "abcdefg")
    assert found.summary() == whole.summary()
    assert np.array_equal(found.ids, ids) and found.excluded == 3


def test_a_sample_counts_once():
    batch = (np.zeros((2, 1, 1, 1)), np.eye(2), np.array([4, 5]))
    with pytest.raises(ValueError, match="A sample came twice"):
        evaluate(lambda images: np.zeros((2, 2)), [batch, batch], "ab")


def test_what_is_no_evaluation_is_refused():
    with pytest.raises(UserError, match="There are no images to evaluate"):
        evaluate(lambda images: images, [], "ab")
    with pytest.raises(UserError, match="There are no images to evaluate"):
        evaluate_predictions(np.zeros((0, 2)), np.zeros((0, 2)), "ab")
    with pytest.raises(UserError, match=r"not finite numbers for 1 of 2 images"):
        evaluate_predictions(np.array([[0, np.nan], [0, 1]]), np.eye(2), "ab")
    with pytest.raises(ValueError, match=r"Expected logits and labels of shape \(2, 3\), received \(2, 2\)"):
        evaluate_predictions(np.zeros((2, 2)), np.zeros((2, 2)), "abc")
