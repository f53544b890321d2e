import os

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
