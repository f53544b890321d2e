import os
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from keras_imgcls.inference import stream
from keras_imgcls.inference.stream import Prediction
from tests.data.test_frames import animation, film
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


def test_frames_take_the_place_of_their_file(predictor, tmp_path):
    """An image, a video, an animation, a broken video, an image: in this order, a frame as its picture would be."""
    paths = [picture(tmp_path / "a.png"), str(film(tmp_path / "b.mp4", 4)), str(animation(tmp_path / "c.png"))]
    (tmp_path / "d.mp4").write_bytes(b"torn")
    paths += [str(tmp_path / "d.mp4"), picture(tmp_path / "e.png", 1)]
    found = list(stream.predictions(predictor, paths, batch_size=3, frame_step=2))
    names = [os.path.basename(prediction.path)[0] for prediction in found]
    assert names == ["a", "b", "b", "c", "c", "c", "d", "e"]
    times = [prediction.time for prediction in found]
    assert times == [None, pytest.approx(0), pytest.approx(0.2), 0.0, 0.4, pytest.approx(0.8), None, None]
    assert found[6].probabilities is None and "Invalid data" in found[6].error
    np.testing.assert_allclose(found[3].probabilities, predictor.predict([paths[2]])[0], atol=1e-6)


def test_an_animation_counts_as_its_first_frame_unless_frames_are_asked_for(predictor, tmp_path):
    path = str(animation(tmp_path / "a.gif"))
    (only,) = stream.predictions(predictor, [path])
    assert only.time is None
    np.testing.assert_allclose(only.probabilities, predictor.predict([path])[0], atol=1e-6)


def test_features_come_with_their_image(predictor, tmp_path):
    paths = [picture(tmp_path / f"{index}.png", index) for index in range(5)]
    found = list(stream.predictions(predictor, [*paths, "gone.png"], batch_size=2, features=True))
    probabilities, features = predictor.embed(paths)
    np.testing.assert_allclose(np.stack([p.features for p in found[:-1]]), features, atol=1e-5)
    np.testing.assert_allclose(np.stack([p.probabilities for p in found[:-1]]), probabilities, atol=1e-6)
    assert found[-1].features is None


@dataclass
class Seen:
    path: str
    time: float | None
    value: float | None


def smooth(window, *rows):
    given = [Prediction(r.path, None if r.value is None else np.array([r.value]), "", r.time) for r in rows]
    return [None if p.probabilities is None else p.probabilities[0] for p in stream.smoothed(given, window)]


def test_smoothing_is_the_mean_of_the_last_frames_of_one_video():
    first = [Seen("a", time, value) for time, value in enumerate([3.0, 6.0, 0.0, 9.0])]
    assert smooth(3, *first) == [3.0, 4.5, 3.0, 5.0]
    assert smooth(1, *first) == [3.0, 6.0, 0.0, 9.0]
    assert smooth(9, *first, Seen("b", 0, 1.0)) == [3.0, 4.5, 3.0, 4.5, 1.0]
    assert smooth(9, *first, Seen("a", 0, 1.0), Seen("a", 1, 2.0))[-2:] == [1.0, 1.5], "the same video once more"
    assert smooth(9, Seen("x", None, 1.0), Seen("y", None, 5.0), Seen("z", None, None)) == [1.0, 5.0, None]
