"""TFDS sets from prepared folders, in both formats, of one size and of many."""

import numpy as np
import pytest
import tensorflow_datasets

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import read_image
from keras_imgcls.data.readers import load, tfds, tfds_records
from keras_imgcls.data.store import open_store

COUNTS = {"train": 30, "test": 12}
FORMATS = ["tfrecord", "array_record"]


def example(number, shape=(8, 9, 3)):
    generator = np.random.default_rng(number)
    height, width, depth = (side or int(generator.integers(10, 40)) for side in shape)
    return generator.integers(0, 256, (height, width, depth), dtype=np.uint8)


def prepare(folder, file_format="tfrecord", shape=(8, 9, 3), splits=COUNTS, name="tiny", version="1.0.0", **changes):
    """Prepares a set whose image pixels follow from its `id`."""
    features = {
        "image": tensorflow_datasets.features.Image(shape=shape, encoding_format="png"),
        "label": tensorflow_datasets.features.ClassLabel(names=["cat", "dog", "rat"]),
        "id": tensorflow_datasets.features.Text(),
        **changes.pop("features", {}),
    }
    hidden = changes.pop("hidden", ())

    class Builder(tensorflow_datasets.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tensorflow_datasets.core.Version(version)

        def _info(self):
            return tensorflow_datasets.core.DatasetInfo(
                builder=self,
                features=tensorflow_datasets.features.FeaturesDict({k: v for k, v in features.items() if v}),
            )

        def _split_generators(self, dl_manager):
            return {split: self._examples(split, count) for split, count in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, split, count):
            for number in range(count):
                values = {
                    "image": example(number + 1000 * (split == "test"), shape),
                    "label": -1 if split in hidden else number % 3,
                    "id": f"{split}_{number:05}",
                    "boxes": number,
                }
                yield number, {key: values[key] for key in features if features[key]}

    Builder.name = name
    tensorflow_datasets.disable_progress_bar()
    builder = Builder(data_dir=folder, file_format=file_format)
    builder.download_and_prepare()
    return builder.data_path


@pytest.mark.parametrize("file_format", FORMATS)
def test_images_of_one_size_become_an_array(file_format, tmp_path, options):
    prepare(tmp_path / "tfds", file_format)
    samples = load(options(dataset="tfds:tiny", data_dir=str(tmp_path / "tfds"), validation_fraction=0.2), 0)
    manifest = samples.manifest
    assert samples.name == "tiny" and samples.images.shape == (42, 8, 9, 3) and samples.mirrored
    assert [len(manifest.ids(split)) for split in ("train", "validation", "test")] == [24, 6, 12]
    assert manifest.class_names == ("cat", "dog", "rat")
    pixels = {example(number).tobytes(): number % 3 for number in range(30)}
    pixels |= {example(number + 1000).tobytes(): number % 3 for number in range(12)}
    assert [pixels[image.tobytes()] for image in samples.images] == manifest.classes().tolist()


@pytest.mark.parametrize("file_format", FORMATS)
def test_rows_may_follow_the_official_numbers(file_format, tmp_path, options):
    folder = prepare(tmp_path / "tfds", file_format)
    samples = tfds_records.read(folder, options(), by_id=True)
    expected = [example(number) for number in range(30)], [example(number + 1000) for number in range(12)]
    assert np.array_equal(samples.images, np.concatenate(expected))
    assert samples.manifest.sources[[0, 29, 30]].tolist() == ["train[00000]", "train[00029]", "test[00000]"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_images_of_many_sizes_are_unpacked_once_and_read_as_files(file_format, tmp_path, options, monkeypatch):
    prepare(tmp_path / "tfds", file_format, shape=(None, None, 3))
    chosen = options(dataset="tfds:tiny", data_dir=str(tmp_path / "tfds"), cache="none")
    samples = load(chosen, 0)
    assert samples.images is None and samples.root == tmp_path / "cache" / "tfds" / "tiny-1.0.0"
    known = {example(number + offset, (None, None, 3)).tobytes() for number in range(30) for offset in (0, 1000)}
    assert all(read_image(samples.root / source, 3).tobytes() in known for source in samples.manifest.sources)
    assert open_store(samples, chosen, 16, 3).shape == (16, 16, 3)
    monkeypatch.setattr(tfds_records, "_encoded", None)
    assert load(chosen, 0).manifest.digest() == samples.manifest.digest()
    assert [path.name for path in samples.root.parent.iterdir()] == ["tiny-1.0.0"]


def test_both_formats_give_the_same_manifest(tmp_path, options):
    digests = set()
    for file_format in FORMATS:
        prepare(tmp_path / file_format, file_format)
        digests.add(load(options(dataset="tfds:tiny", data_dir=str(tmp_path / file_format)), 0).manifest.digest())
    assert len(digests) == 1


def test_an_unpacking_that_dies_leaves_nothing(tmp_path, options, monkeypatch):
    prepare(tmp_path / "tfds", shape=(None, None, 3))
    chosen = options(dataset="tfds:tiny", data_dir=str(tmp_path / "tfds"), cache="none")
    written = tfds_records.files.write_text

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tfds_records.files, "write_text", die)
    with pytest.raises(KeyboardInterrupt):
        load(chosen, 0)
    assert list((tmp_path / "cache" / "tfds").iterdir()) == []
    monkeypatch.setattr(tfds_records.files, "write_text", written)
    root = load(chosen, 0).root
    (root / "index.csv").write_text("train/00000000.png,0,train\n")
    assert len(load(chosen, 0).manifest) == 42


def test_a_folder_may_be_pointed_at_in_three_ways_and_the_newest_version_is_taken(tmp_path, options):
    older = prepare(tmp_path / "tfds", version="1.9.0")
    newer = prepare(tmp_path / "tfds", version="1.10.0")
    for place in (tmp_path / "tfds", tmp_path / "tfds" / "tiny"):
        assert tfds.find_prepared(place, tfds.Wanted("tiny", "", "")) == newer
        assert tfds.find_prepared(place, tfds.Wanted("tiny", "", "1.9.0")) == older
    assert tfds.find_prepared(older, tfds.Wanted("tiny", "", "")) == older
    assert tfds.find_prepared(older, tfds.Wanted("other", "", "")) is None
    assert len(load(options(dataset="tfds:tiny:1.9.0", data_dir=str(tmp_path / "tfds")), 0).manifest) == 42


def test_several_configurations_must_be_chosen_from(tmp_path):
    for config in ("small", "large"):
        folder = tmp_path / "tiny" / config / "1.0.0"
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text(f'{{"name": "tiny", "configName": "{config}", "version": "1.0.0"}}')
    with pytest.raises(
        UserError, match=r"several configurations of tiny: choose one of tfds:tiny/large, tfds:tiny/small"
    ):
        tfds.find_prepared(tmp_path, tfds.Wanted("tiny", "", ""))
    assert tfds.find_prepared(tmp_path, tfds.Wanted("tiny", "small", "")) == tmp_path / "tiny" / "small" / "1.0.0"


def test_the_default_folder_is_looked_into(tmp_path, options, monkeypatch):
    prepare(tmp_path / "default")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
    assert len(load(options(dataset="tfds:tiny"), 0).manifest) == 42


def test_names_of_classes_name_no_files(tmp_path, options):
    names = ["..", "../../escaped", "/tmp/escaped"]
    labels = {"label": tensorflow_datasets.features.ClassLabel(names=names)}
    prepare(tmp_path / "sets", shape=(None, None, 3), features=labels)
    before = set(tmp_path.iterdir())
    samples = load(options(dataset="tfds:tiny", data_dir=str(tmp_path / "sets")), 0)
    assert samples.manifest.class_names == tuple(names)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "cache"}
    assert all(path.resolve().is_relative_to(tmp_path / "cache") for path in samples.root.rglob("*"))


def test_splits_without_labels_and_unknown_splits_are_passed_over(tmp_path, options, capsys):
    for shape in ((8, 9, 3), (None, None, 3)):
        folder = tmp_path / str(shape[0])
        prepare(folder, shape=shape, splits={"train": 20, "test": 6, "extra": 3}, hidden=("test",))
        chosen = options(dataset="tfds:tiny", data_dir=str(folder), test_fraction=0.0, validation_fraction=0.0)
        assert load(chosen, 0).manifest.splits.tolist() == ["train"] * 20
        note = capsys.readouterr().out
        assert "passed over the splits extra" in note and "the split test, whose labels aren't told" in note


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"label": None}}, r"tfds:tiny is no set of images with one label.*has id, image"),
        ({"features": {"image": None}}, r"tfds:tiny is no set of images with one label"),
        ({"splits": {"extra": 3}}, r"has the splits extra; expected train, validation or test"),
        ({"splits": {"val": 3, "validation": 3}}, r"expected train, validation or test, each once"),
    ],
)
def test_sets_that_do_not_fit_say_why(changes, message, tmp_path, options):
    prepare(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        load(options(dataset="tfds:tiny", data_dir=str(tmp_path)), 0)


def test_grey_sets_stay_grey_and_writing_is_not_mirrored(tmp_path, options):
    prepare(tmp_path, shape=(8, 8, 1), name="tiny_mnist")
    samples = load(options(dataset="tfds:tiny_mnist", data_dir=str(tmp_path)), 0)
    assert samples.own_shape == (8, 8, 1) and not samples.mirrored


@pytest.mark.parametrize("text", ["", "../cifar10", "a/b/c", "name:latest", "/etc"])
def test_a_name_that_is_none_is_refused(text, options):
    with pytest.raises(UserError, match="A TFDS set is named tfds:NAME"):
        load(options(dataset=f"tfds:{text}"), 0)


def test_without_network_an_unknown_name_gets_the_nearest_and_a_known_one_the_ways_out(
    no_network, options, tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"TFDS knows no set 'mnis'.*Did you mean 'mnist'\?"):
        load(options(dataset="tfds:mnis"), 0)
    with pytest.raises(
        tfds.Unavailable, match=r"tfds:mnist wasn't found\. Tried: no prepared .*; a download: .* doesn't answer"
    ):
        load(options(dataset="tfds:mnist"), 0)


def test_a_download_that_fails_says_how(options, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tfds, "reachable", lambda *_: True)

    def fail(*_, **__):
        raise RuntimeError("the server said\nno")

    monkeypatch.setattr(tensorflow_datasets, "builder", fail)
    with pytest.raises(tfds.Unavailable, match=r"a download: RuntimeError: the server said no\. Give --data_dir"):
        load(options(dataset="tfds:mnist"), 0)
