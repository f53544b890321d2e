"""Which images a model is judged on, whatever has become of the data since."""

from dataclasses import replace

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.samples import Samples
from keras_imgcls.evaluation import held_out
from tests.inference.tiny import digits, make_run

NAMES = ("cat", "dog")
SPLITS = np.array(["train"] * 5 + ["validation"] * 2 + ["test"] * 3)


def make_samples(splits=SPLITS, class_names=NAMES, **changes):
    count = len(splits)
    sources = np.array([f"{class_names[row % len(class_names)]}/{row}.png" for row in range(count)])
    labels = one_hot(np.arange(count) % len(class_names), len(class_names))
    return Samples("pets", Manifest(sources, labels, splits, class_names), digits(count), **changes)


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path / "run", names=NAMES)
    make_samples().manifest.write(run.manifest)
    return run


@pytest.fixture
def found(monkeypatch):
    """`found(samples)`: what the reader finds now. `found.options` are the options that it was given."""

    def find(samples):
        def load(options, seed, training):
            assert not training, "one class, or a folder without training images, is as good as any to be judged on"
            find.options = options
            return samples

        monkeypatch.setattr(held_out.readers, "load", load)

    return find


@pytest.mark.parametrize("split, rows", [("train", range(5)), ("validation", [5, 6]), ("test", [7, 8, 9])])
def test_the_recorded_split_is_taken(run, found, split, rows):
    found(make_samples())
    samples, ids = held_out.own_samples(run, split)
    assert ids.tolist() == list(rows) and ids.dtype == np.int64
    assert samples.manifest.sources[ids].tolist() == make_samples().manifest.sources[list(rows)].tolist()


def test_a_split_that_would_be_drawn_otherwise_now_changes_nothing(run, found):
    """Every image is in another split by now, and in another row: the recorded test images are still the ones."""
    shuffled = np.random.default_rng(0).permutation(10)
    found(replace(make_samples(), manifest=replace(make_samples().manifest, splits=SPLITS[::-1])).take(shuffled))
    samples, ids = held_out.own_samples(run, "test")
    assert samples.manifest.sources[ids].tolist() == ["dog/7.png", "cat/8.png", "dog/9.png"]


def test_images_that_are_gone_are_said(run, found):
    found(make_samples().take(np.arange(8)))
    with pytest.raises(UserError, match=r"2 of the 3 test images of .*run are no longer in pets: cat/8\.png"):
        held_out.own_samples(run, "test")


def test_images_that_became_unreadable_are_left_out_and_counted(run, found):
    found(replace(make_samples().take(np.arange(9)), excluded=(("dog/9.png", "truncated"),)))
    samples, ids = held_out.own_samples(run, "test", on_bad_image="exclude")
    assert ids.tolist() == [7, 8] and len(samples.excluded) == 1 and found.options.on_bad_image == "exclude"


def test_an_image_with_another_label_by_now_is_said(run, found):
    samples = make_samples()
    labels = samples.manifest.labels.copy()
    labels[8] = labels[8, ::-1]
    found(replace(samples, manifest=replace(samples.manifest, labels=labels)))
    with pytest.raises(UserError, match=r"cat/8\.png was 'cat' when .* was trained, and is 'dog' now"):
        held_out.own_samples(run, "test")


def test_a_split_that_the_run_never_had_is_said(run, found):
    found(make_samples())
    make_samples(SPLITS[:7]).manifest.write(run.manifest)
    with pytest.raises(
        UserError, match=r"run has no test split; it has: train, validation\. Choose with --split=validation"
    ):
        held_out.own_samples(run, "test")


def test_a_run_without_a_manifest_is_said(run):
    run.manifest.unlink()
    with pytest.raises(
        UserError, match=r"manifest\.csv can't be read: No such file or directory\. Name data with --data_dir"
    ):
        held_out.own_samples(run, "test")


def test_other_data_is_read_as_the_run_reads_it_and_not_split(run, found):
    found(make_samples(np.array(["train"] * 10)))
    _, ids, split = held_out.other_samples(run, "", "elsewhere", "test")
    assert ids.tolist() == list(range(10)) and split == "all"
    options = found.options
    assert (options.data_dir, options.dataset, options.test_fraction, options.validation_fraction) == (
        "elsewhere",
        "",
        0,
        0,
    )
    assert (options.image_size, options.channels, options.resize) == (8, 1, run.config.resize)


def test_other_data_with_splits_gives_the_one_asked_for(run, found):
    found(make_samples())
    assert held_out.other_samples(run, "", "elsewhere", "test")[1].tolist() == [7, 8, 9]
    found(make_samples(SPLITS[:7]))
    with pytest.raises(UserError, match=r"pets has no test split; it has: train, validation\. Choose with --split"):
        held_out.other_samples(run, "", "elsewhere", "test")


def test_classes_are_joined_by_name(run, found):
    found(make_samples(np.array(["test"] * 4), ("dog", "cat")))
    samples, ids, _ = held_out.other_samples(run, "", "elsewhere", "test")
    assert samples.manifest.class_names == NAMES
    assert [NAMES[index] for index in samples.manifest.classes()[ids]] == ["dog", "cat", "dog", "cat"]
    found(make_samples(np.array(["test"] * 4), ("cat", "dgo")))
    with pytest.raises(UserError, match=r"The model has no class 'dgo'\. Did you mean 'dog'"):
        held_out.other_samples(run, "", "elsewhere", "test")


def test_a_copy_of_the_training_data_is_noticed(run):
    samples = make_samples(np.array(["train"] * 10))
    assert held_out.seen_in_training(run, samples, np.arange(10)) == 5
    assert held_out.seen_in_training(run, samples, np.arange(5, 10)) == 0
    run.manifest.unlink()
    assert held_out.seen_in_training(run, samples, np.arange(10)) == 0


def test_a_folder_within_the_training_data_is_noticed(tmp_path):
    """`photos/cat` after training on `photos`: sources are relative to another root, the files are the same."""
    run = make_run(tmp_path / "run", names=NAMES, dataset="", data_dir=str(tmp_path / "photos"))
    make_samples().manifest.write(run.manifest)
    whole = make_samples().manifest
    below = replace(whole, sources=np.char.partition(whole.sources, "/")[:, 2])
    samples = replace(make_samples(), manifest=below, images=None, root=tmp_path / "photos" / "cat")
    assert held_out.seen_in_training(run, samples, np.arange(10)) == 3  # 0, 2 and 4 are cats in training


def test_what_names_the_runs_own_data(tmp_path):
    run = make_run(tmp_path / "run")
    assert held_out.is_own(run, "", "") and held_out.is_own(run, "digits", "")
    assert not held_out.is_own(run, "cifar10", "") and not held_out.is_own(run, "", str(tmp_path))
    photos = make_run(tmp_path / "photos", data_dir=str(tmp_path / "a"))
    assert held_out.is_own(photos, "", f"{tmp_path}/b/../a")
    assert not held_out.is_own(photos, "", f"{tmp_path}/b")
