import os
import threading

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.core.errors import UserError
from keras_imgcls.inference import sources


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["b.png", "a.JPG", "deep/er/c.png", "[1].png", "x,y.png"]):
        picture(tmp_path / name, number)
    (tmp_path / "notes.txt").write_text("no image")
    picture(tmp_path / ".hidden.png")
    return tmp_path


def names(paths, folder):
    return [os.path.relpath(path, folder) for path in paths]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("{}", ["[1].png", "a.JPG", "b.png", "deep/er/c.png", "x,y.png"]),
        ("{}/b.png,{}/a.JPG", ["b.png", "a.JPG"]),
        ("{}/b.png, {}/deep", ["b.png", "deep/er/c.png"]),
        ("{}/x,y.png", ["x,y.png"]),
        ("{}/[1].png", ["[1].png"]),
        ("{}/?.png,{}/*.JPG", ["b.png", "a.JPG"]),
        ("{}/**/c.png", ["deep/er/c.png"]),
        ("{}/d*", ["deep/er/c.png"]),
        ("{}/notes.txt", ["notes.txt"]),
    ],
)
def test_what_is_named_is_found_in_order(folder, source, expected):
    assert names(sources.find_images(source.replace("{}", str(folder))), folder) == expected


@pytest.mark.parametrize(
    "source, message",
    [
        ("", r"Which images\? Give --source=FILE"),
        ("{}/c.png", r"There is no file, folder or match for '.*c\.png'\. Did you mean '.*/b\.png'\?"),
        ("{}/*.gif", r"There is no file, folder or match for '.*/\*\.gif'"),
        ("{}/empty", r"There are no images in .*/empty \(looked for \.jpg "),
        ("{}/b.png,{}/q", r"no file, folder or match for '.*/q'"),
    ],
)
def test_what_is_not_there_is_said(folder, source, message):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        sources.find_images(source.replace("{}", str(folder)))


def test_links_are_followed_and_no_folder_is_entered_twice(tmp_path):
    picture(tmp_path / "real" / "a.png")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "photos")
    assert names(sources.find_images(str(tmp_path / "photos")), tmp_path) == ["photos/link/a.png"]


def test_predictions_come_in_the_order_of_the_files(predictor, tmp_path):
    paths = [picture(tmp_path / f"{index}.png", index) for index in range(23)][::-1]
    found = list(sources.predictions(predictor, paths, batch_size=4))
    assert [prediction.path for prediction in found] == paths
    np.testing.assert_allclose(np.stack([p.probabilities for p in found]), predictor.predict(paths), atol=1e-6)


def test_what_is_unreadable_is_said_and_the_rest_is_done(predictor, tmp_path):
    good = [picture(tmp_path / f"{index}.png", index) for index in range(4)]
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    paths = [str(torn), *good[:3], str(tmp_path / "gone.png"), str(tmp_path), good[3]]
    found = list(sources.predictions(predictor, paths, batch_size=2))
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
    stream = sources.predictions(predictor, iter([path] * 1000), batch_size=8)
    for taken in range(1, 101):
        next(stream)
        assert len(read) <= taken + 8 + 2 * 8
    stream.close()
