import threading

import numpy as np

from keras_imgcls.inference import stream
from tests.inference.test_sources import picture


def test_predictions_come_in_the_order_of_the_files(predictor, tmp_path):
    paths = [picture(tmp_path / f"{index}.png", index) for index in range(23)][::-1]
    found = list(stream.predictions(predictor, paths, batch_size=4))
    assert [prediction.path for prediction in found] == paths
    np.testing.assert_allclose(np.stack([p.probabilities for p in found]), predictor.predict(paths), atol=1e-6)


def test_what_is_unreadable_is_said_and_the_rest_is_done(predictor, tmp_path):
    good = [picture(tmp_path / f"{index}.png", index) for index in range(4)]
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    paths = [str(torn), *good[:3], str(tmp_path / "gone.png"), str(tmp_path), good[3]]
    found = list(stream.predictions(predictor, paths, batch_size=2))
    assert [prediction.probabilities is None for prediction in found] == [True, False, False, False, True, True, False]
    assert found[4].error == "No such file or directory" and found[5].error == "Is a directory" and found[0].error
    np.testing.assert_allclose(found[6].probabilities, predictor.predict(good[3:])[0], atol=1e-6)


def test_memory_holds_a_few_batches(predictor, tmp_path, monkeypatch):
    """No more than two batches are ever read ahead of what was taken."""
    path, lock, read = picture(tmp_path / "a.png"), threading.Lock(), []
    original = predictor.read
    monkeypatch.setattr(
        predictor, "read", lambda name: (lock.__enter__(), read.append(name), lock.__exit__(), original(name))[-1]
    )
    answers = stream.predictions(predictor, iter([path] * 1000), batch_size=8)
    for taken in range(1, 101):
        next(answers)
        assert len(read) <= taken + 8 + 2 * 8
    answers.close()
