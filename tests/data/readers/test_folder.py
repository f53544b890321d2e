"""Class folders, with and without splits above them, and what to do about files that aren't images."""

import os
from pathlib import Path

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.data import cache
from keras_imgcls.data.readers import load
from keras_imgcls.data.readers.folder import read_folder
from keras_imgcls.data.store import open_store


def described(samples):
    manifest = samples.manifest
    names = [manifest.class_names[index] for index in manifest.classes()]
    return list(zip(manifest.sources.tolist(), names, manifest.splits.tolist(), strict=True))


def test_classes_are_called_like_their_folders(picture, options):
    root = picture("cat/b.png", "cat/a.JPG", "dog/deep/below/c.ppm", "dog/a.webp")
    samples = read_folder(options(data_dir=str(root)))
    assert described(samples) == [
        ("cat/a.JPG", "cat", "train"),
        ("cat/b.png", "cat", "train"),
        ("dog/a.webp", "dog", "train"),
        ("dog/deep/below/c.ppm", "dog", "train"),
    ]
    assert samples.name == "photos" and samples.root == root and samples.mirrored and samples.excluded == ()


def test_splits_may_stand_above_the_classes_in_any_case(picture, options):
    root = picture("Train/cat/1.png", "Train/dog/2.png", "VAL/cat/3.png", "test/dog/4.png")
    assert described(read_folder(options(data_dir=str(root)))) == [
        ("Train/cat/1.png", "cat", "train"),
        ("Train/dog/2.png", "dog", "train"),
        ("VAL/cat/3.png", "cat", "validation"),
        ("test/dog/4.png", "dog", "test"),
    ]


def test_classes_may_be_called_like_splits(picture, options):
    root = picture("test/1.png", "train/2.png", "dev/3.png")
    assert read_folder(options(data_dir=str(root))).manifest.class_names == ("dev", "test", "train")
    root = picture("other/4.png")
    assert read_folder(options(data_dir=str(root))).manifest.class_names == ("dev", "other", "test", "train")


def test_what_is_passed_over_is_counted(picture, options, capsys):
    root = picture("cat/1.png", "cat/.hidden.png", "dog/2.png", ".git/3.png", "loose.png")
    (root / "cat" / "notes.txt").write_text("x")
    (root / "dog" / "Thumbs.db").write_text("x")
    (root / "dog" / "dangling.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "dog" / "pipe.png")
    samples = read_folder(options(data_dir=str(root)))
    assert samples.manifest.sources.tolist() == ["cat/1.png", "dog/2.png"]
    note = capsys.readouterr().out
    for reason in (
        "1 files outside of class folders",
        "1 hidden files",
        "1 *.txt files",
        "1 *.db files",
        "2 links to nothing and devices",
    ):
        assert reason in note


def test_classes_without_images_and_photos_without_a_decoder_are_a_warning(picture, options, capsys):
    root = picture("cat/a.png", "dog/b.png")
    (root / "owl").mkdir()
    (root / "dog" / "IMG_1.HEIC").write_bytes(b"photo")
    assert read_folder(options(data_dir=str(root))).manifest.class_names == ("cat", "dog")
    told = capsys.readouterr().err
    assert "no images in owl." in told
    assert "no decoder reads .heic files; convert them to JPEG, or they take no part" in told


def test_folders_beside_the_splits_are_passed_over_by_name(picture, options, capsys):
    root = picture("train/cat/1.png", "train/dog/2.png", "unlabelled/3.png")
    assert len(read_folder(options(data_dir=str(root))).manifest) == 2
    assert "folders beside train (unlabelled)" in capsys.readouterr().out


def test_links_are_followed_but_never_in_circles(picture, options, tmp_path, capsys):
    root = picture("cat/1.png", "dog/2.png")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (root / "dog" / "2.png").rename(outside / "2.png")
    (root / "dog" / "linked").symlink_to(outside)
    (root / "cat" / "self").symlink_to(root / "cat")
    (outside / "back").symlink_to(root / "dog")
    assert read_folder(options(data_dir=str(root))).manifest.sources.tolist() == ["cat/1.png", "dog/linked/2.png"]
    assert "2 folders that hold themselves" in capsys.readouterr().out


def test_names_with_spaces_and_letters_of_all_kinds(picture, options):
    root = picture("große Katze/ein Bild, mit |.png", "狗/2.png")
    samples = read_folder(options(data_dir=str(root)))
    assert samples.manifest.class_names == ("große Katze", "狗")
    store = open_store(samples, options(), 10, 3)
    assert len(next(iter(store.dataset(np.arange(2), 2)))[0]) == 2


def test_names_that_are_no_text_are_passed_over_within_a_class(picture, options, capsys):
    root = picture("cat/1.png", "cat/a\nb.png", "cat/\x1b[2J/3.png", "dog/2.png")
    (root / "dog" / os.fsdecode(b"\xff")).mkdir()
    assert read_folder(options(data_dir=str(root))).manifest.sources.tolist() == ["cat/1.png", "dog/2.png"]
    assert "3 files and folders whose names aren't printable text" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["line\nbreak", "\x1b[2Jcat", os.fsdecode(b"\xff")])
def test_folders_whose_names_are_no_line_of_text_are_no_classes(name, picture, options):
    root = picture("dog/1.png")
    (root / name).mkdir()
    (root / "dog" / "1.png").rename(root / name / "2.png")
    picture("dog/1.png")
    with pytest.raises(UserError, match="A class can't be called '.*': a name is one line of text"):
        load(options(data_dir=str(root)), 0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"There are no images in class folders in .*photos\. Expected one folder a class, such as .*cat/1\.jpg"),
        (("1.png", "2.png"), r"There are no images in class folders"),
        (("cat/1.png", "cat/2.png"), r"photos has training images of one class only, 'cat'"),
        (("test/cat/1.png", "val/dog/1.png"), r"photos has no training images"),
        (
            ("train/cat/1.png", "train/dog/1.png", "test/rat/1.png", "val/bat/1.png"),
            r"to validate or test that training lacks: 'bat', 'rat'",
        ),
        (("train/cat/1.png", "val/cat/1.png", "valid/cat/1.png"), r"has two folders for one split: val and valid"),
    ],
)
def test_what_does_not_do_for_training_says_what_was_expected(names, message, picture, options):
    root = picture(*names)
    root.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        load(options(data_dir=str(root)), 0)


def test_one_class_does_for_evaluation(picture, options):
    root = picture("cat/1.png", "cat/2.png")
    samples = load(options(data_dir=str(root), test_fraction=0.0, validation_fraction=0.0), 0, training=False)
    assert samples.manifest.class_names == ("cat",)


def test_a_folder_that_is_missing_or_none_is_named_with_the_nearest(picture, options):
    root = picture("cat/1.png")
    with pytest.raises(UserError, match=r"There is no folder .*photo\. Did you mean 'photos'\?"):
        load(options(data_dir=str(root.parent / "photo")), 0)
    with pytest.raises(UserError, match=r"cat/1\.png is no folder"):
        load(options(data_dir=str(root / "cat" / "1.png")), 0)


def spoil(root, *names):
    for name in names:
        (root / name).write_bytes((root / name).read_bytes()[:50])


@pytest.mark.parametrize("place", ["ram", "disk", "none"])
def test_bad_images_stop_the_run_by_name_or_are_left_out_by_count(place, picture, options, capsys):
    root = picture(*[f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(20)])
    spoil(root, "cat/3.png", "dog/7.png")
    message = r"2 of the 40 images in .*photos can't be decoded: cat/3\.png \(.+\); dog/7\.png \(.+\)\. Mend or remove"
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            load(options(data_dir=str(root), cache=place), 0)
    samples = load(options(data_dir=str(root), cache=place, on_bad_image="exclude"), 0)
    assert [source for source, _ in samples.excluded] == ["cat/3.png", "dog/7.png"]
    assert all(reason for _, reason in samples.excluded)
    assert len(samples.manifest) == 38 and not {"cat/3.png", "dog/7.png"} & set(samples.manifest.sources)
    assert "Excluded, 2 of the 40 images" in capsys.readouterr().out
    store = open_store(samples, options(cache=place), 12, 3)
    for images, ids in store.dataset(np.arange(38), 8):
        for image, row in zip(images.numpy(), ids.numpy(), strict=True):
            assert np.unique(image).tolist() == [sum(samples.manifest.sources[row].encode()) % 256]


def test_the_first_ten_bad_images_are_named(picture, options):
    names = [f"cat/{number:02}.png" for number in range(15)]
    root = picture(*names, "dog/1.png")
    spoil(root, *names[:12])
    with pytest.raises(UserError, match="12 of the 16 images") as caught:
        load(options(data_dir=str(root)), 0)
    assert "cat/09.png" in str(caught.value) and "cat/10.png" not in str(caught.value)


def test_files_that_were_looked_at_are_not_decoded_again(picture, options, monkeypatch):
    root = picture(*[f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(5)])
    load(options(data_dir=str(root), cache="none"), 0)
    monkeypatch.setattr(cache, "keep", None)
    samples = load(options(data_dir=str(root), cache="none"), 1)
    assert samples.kept is None
    (root / "cat" / "5.png").write_bytes(b"new")
    with pytest.raises(TypeError):
        load(options(data_dir=str(root), cache="none"), 1)


def test_what_the_look_decoded_is_what_the_store_gives(picture, options, monkeypatch):
    root = picture(*[f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(5)])
    chosen = options(data_dir=str(root), cache="ram", image_size=16, channels=1)
    samples = load(chosen, 0)
    monkeypatch.setattr(cache, "keep", None)
    store = open_store(samples, chosen, 16, 1)
    assert store.place == "ram" and store.shape == (16, 16, 1)
    images, ids = next(iter(store.dataset(np.arange(10), 10)))
    for image, row in zip(images.numpy(), ids.numpy(), strict=True):
        assert np.unique(image).tolist() == [sum(samples.manifest.sources[row].encode()) % 256]


def test_images_of_one_size_keep_it_and_photos_get_one(picture, options):
    root = picture("cat/1.png", "dog/2.png", size=(32, 32))
    assert read_folder(options(data_dir=str(root))).own_shape == (32, 32, 3)
    picture("dog/3.png", size=(32, 30))
    assert read_folder(options(data_dir=str(root))).own_shape == (160, 160, 3)


def test_splits_are_drawn_stratified_and_ids_follow_split_and_source(picture, options):
    root = picture(*[f"{kind}/{number:02}.png" for kind in ("cat", "dog") for number in range(20)])
    manifest = load(options(data_dir=str(root), test_fraction=0.25, validation_fraction=0.2), 3).manifest
    assert [len(manifest.ids(split)) for split in ("train", "validation", "test")] == [24, 6, 10]
    for split in ("train", "validation", "test"):
        ids = manifest.ids(split)
        assert np.bincount(manifest.classes()[ids]).tolist() == [len(ids) // 2] * 2
        assert ids.tolist() == list(range(ids[0], ids[0] + len(ids)))
        assert manifest.sources[ids].tolist() == sorted(manifest.sources[ids])
    again = load(options(data_dir=str(root), test_fraction=0.25, validation_fraction=0.2), 3).manifest
    assert again.digest() == manifest.digest()


def test_a_split_that_is_there_is_not_drawn_and_a_fraction_only_takes_from_training(picture, options):
    names = [
        f"{split}/{kind}/{number}.png" for split in ("train", "test") for kind in ("cat", "dog") for number in range(10)
    ]
    root = picture(*names)
    manifest = load(options(data_dir=str(root), fraction=0.5, validation_fraction=0.2), 0).manifest
    assert [len(manifest.ids(split)) for split in ("train", "validation", "test")] == [8, 4, 20]


def test_classes_too_small_for_a_split_are_named(picture, options, capsys):
    root = picture(*[f"cat/{number}.png" for number in range(20)], "rare/1.png")
    load(options(data_dir=str(root)), 0)
    assert "Too few images for a part in the test split: 1 of the classes (rare)." in capsys.readouterr().out


def test_real_folders_of_photos(shared_data, options):
    flowers = load(options(data_dir=str(shared_data("flowers")), cache="none"), 0)
    assert len(flowers.manifest) == 186 and len(flowers.manifest.class_names) == 5
    assert len(flowers.manifest.ids("validation")) and all(
        Path(source).parts[0] == "val" for source in flowers.manifest.sources[flowers.manifest.ids("validation")]
    )
    scans = load(options(data_dir=str(shared_data("brain_mri")), cache="none", image_size=32, channels=1), 0)
    assert len(scans.manifest) == 253 and scans.manifest.class_names == ("no", "yes") and not scans.excluded
