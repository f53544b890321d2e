"""Groups: by a pattern in the path, by equal bytes, merged where they meet, and never in two splits that we draw."""

import itertools
import shutil
from collections import Counter

import numpy as np
import pytest

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import DataOptions, TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.data import decoding, groups, readers
from keras_imgcls.data.decoding import Files
from keras_imgcls.data.splits import stratified_fraction


@pytest.fixture
def options(tmp_path):
    def make(**values):
        return DataOptions(**{"cache_dir": str(tmp_path / "cache"), **values})

    return make


def groups_of(manifest, split):
    return {name for name in manifest.groups[manifest.ids(split)].tolist() if name}


def test_the_first_group_in_brackets_is_the_name_else_the_whole_match():
    sources = ["01/00007_00005.ppm", "02/00007_00010.ppm"]
    assert groups.names_by_pattern(sources, r"\d+/\d+_") == ["01/00007_", "02/00007_"]
    assert groups.names_by_pattern(sources, r"(\d+)_(\d+)") == ["00007", "00007"]
    assert groups.names_by_pattern(sources, r"(?:^|/)(\d+/\d+)_") == ["01/00007", "02/00007"]


def test_paths_without_a_match_stand_alone_and_are_counted(capsys):
    assert groups.names_by_pattern(["a/p1_1.png", "a/x.png", "b/_.png"], r"(p\d)?_") == ["p1", "", ""]
    assert "--group_by is not found in 2 of 3 paths (a/x.png …): they stand alone." in capsys.readouterr().out


def test_a_pattern_that_is_nowhere_or_none_is_an_error():
    with pytest.raises(UserError, match=r"--group_by='track' is found in no path; the first is 'a/1\.png'\."):
        groups.names_by_pattern(["b/2.png", "a/1.png"], "track")
    message = r"--group_by is a regular expression; received '\(a': missing \), unterminated subpattern at position 0"
    with pytest.raises(UserError, match=message):
        config_module.check(TrainConfig(dataset="digits", group_by="(a"))


def components(count, sets):
    """The partition of `range(count)`, by repeated closure: slow and plain."""
    label = list(range(count))
    for _ in range(count):
        for rows in sets:
            least = min((label[row] for row in rows), default=0)
            for row in rows:
                label[row] = least
    return label


def test_what_is_connected_is_one_group():
    generator = np.random.default_rng(0)
    for _ in range(20):
        told = [generator.choice([""] * 6 + list("abcde"), 30).tolist() for _ in range(2)]
        copies = [generator.choice(30, 2, replace=False).tolist() for _ in range(4)]
        sets = [[row for row in range(30) if name in (told[0][row], told[1][row])] for name in "abcde"] + copies
        expected = components(30, sets)
        merged = groups.merge(np.char.mod("%02d.png", np.arange(30)).tolist(), told, copies)
        for one, other in itertools.combinations(range(30), 2):
            together = merged[one] == merged[other] != ""
            assert together == (expected[one] == expected[other])


def test_a_merged_group_has_the_least_name_it_was_told():
    sources = ["a.png", "b.png", "c.png", "d.png"]
    merged = groups.merge(sources, [["p2", "p1", "", ""]], [[0, 1], [2, 3]])
    assert merged.tolist() == ["p1", "p1", "copies of c.png", "copies of c.png"]


def test_identical_files_are_found_whatever_they_are_called(tmp_path):
    """Files that differ in size, at the beginning or at the end alone are no copies."""
    body = np.random.default_rng(0).bytes(10_000)
    contents = [body, body[:-1] + b"x", b"x" + body[1:], body + b"x", body, b"", b"", b"x" + body[1:]]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
    found = groups.identical_files(Files(tmp_path, [f"{number}.png" for number in range(8)] + ["gone.png"]))
    assert found == [[0, 4], [2, 7], [5, 6]]


def test_copies_share_a_split_and_labels_that_contradict_each_other_are_named(tmp_path, options, capsys):
    pictures(tmp_path, 40)
    for number in range(0, 40, 4):
        shutil.copy(tmp_path / "cat" / f"{number:02}.png", tmp_path / "cat" / f"copy {number}.png")
    shutil.copy(tmp_path / "cat" / "01.png", tmp_path / "dog" / "a cat.png")
    for seed in range(4):
        manifest = readers.load(options(data_dir=str(tmp_path)), seed).manifest
        tests, validation, train = (groups_of(manifest, split) for split in ("test", "validation", "train"))
        assert len(tests | validation | train) == 11
        assert len(tests) + len(validation) + len(train) == 11
    told = capsys.readouterr()
    assert "Groups that stay in one split: 11; sets of byte-identical files: 11." in told.out
    assert "1 sets of byte-identical files have different labels: cat/01.png (cat), dog/a cat.png (dog)" in told.err
    assert "group\n" in manifest.text() and "copies of cat/01.png" in manifest.text()


def test_copies_are_looked_for_once(tmp_path, options, monkeypatch):
    pictures(tmp_path, 6)
    shutil.copy(tmp_path / "cat" / "00.png", tmp_path / "cat" / "copy.png")
    first = readers.load(options(data_dir=str(tmp_path)), 0)
    monkeypatch.setattr(decoding.Files, "reader", None)
    monkeypatch.setattr(groups, "_tail", None)
    again = readers.load(options(data_dir=str(tmp_path)), 0)
    assert again.copies == first.copies == (("cat/00.png", "cat/copy.png"),)
    assert again.manifest.text() == first.manifest.text()


def test_given_splits_are_left_and_what_leaks_is_counted(tmp_path, options, capsys):
    pictures(tmp_path / "train", 12)
    pictures(tmp_path / "test", 4, first=12)
    for number in range(3):
        shutil.copy(tmp_path / "train" / "dog" / f"{number:02}.png", tmp_path / "test" / "dog" / f"copy {number}.png")
    samples = readers.load(options(data_dir=str(tmp_path)), 0)
    warning = capsys.readouterr().err
    assert "3 groups are in both train and test (3 of its 11 images), as the splits were given" in warning
    assert len(samples.manifest.ids("test")) == 11
    assert groups.counts(samples) == {"count": 3, "identical_files": 3, "test_leaked": 3}
    assert not groups_of(samples.manifest, "validation")


def test_tracks_of_road_signs_stay_whole(shared_data, options):
    folder = shared_data("road_signs")
    data = options(data_dir=str(folder), group_by=r"(\d+/\d+)_")
    for seed in range(3):
        manifest = readers.load(data, seed).manifest
        splits = [groups_of(manifest, split) for split in ("train", "validation", "test")]
        assert sum(map(len, splits)) == len(set.union(*splits)) == 144
        assert set(Counter(manifest.groups.tolist()).values()) == {6}
        assert abs(len(manifest.ids("test")) - 0.2 * 864) <= 43
        part = manifest.groups[stratified_fraction(manifest, 0.5, seed)]
        assert set(Counter(part.tolist()).values()) == {6}


def test_copies_among_brain_scans_stay_together(shared_data, options):
    samples = readers.load(options(data_dir=str(shared_data("brain_mri"))), 0)
    splits = [groups_of(samples.manifest, split) for split in ("train", "validation", "test")]
    assert len(samples.copies) == 22
    assert sum(map(len, splits)) == len(set.union(*splits)) == 22


def pictures(root, count, first=0):
    """`count` pictures each of cats and dogs below `root`, no two alike."""
    from PIL import Image

    for kind, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number in range(first, first + count):
            pixels = np.random.default_rng(2 * number + kind).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
