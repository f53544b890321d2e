"""CIFAR-10 is found wherever it may lie, is the official one or refused, and no pickle runs code."""

import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.data.readers import cifar10, load, tfds

COUNT = 12
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def batch(name):
    generator = np.random.default_rng(sum(name.encode()))
    return generator.integers(0, 256, (COUNT, 3072), dtype=np.uint8), generator.integers(0, 10, COUNT).tolist()


def as_python(name):
    data, labels = batch(name)
    return pickle.dumps({b"data": data, b"labels": labels, b"filenames": [b"x"] * COUNT}, protocol=2)


def as_binary(name):
    data, labels = batch(name)
    return np.concatenate([np.array(labels, np.uint8)[:, np.newaxis], data], axis=1).tobytes()


FILES = {
    cifar10.PYTHON: {name: as_python(name) for name in BATCHES},
    cifar10.BINARY: {f"{name}.bin": as_binary(name) for name in BATCHES},
}
ARCHIVES = dict(zip(cifar10.ARCHIVES, FILES, strict=True))


@pytest.fixture
def small(monkeypatch):
    """Takes files of a few records for the official ones."""
    sums = {folder: {name: md5(data) for name, data in files.items()} for folder, files in FILES.items()}
    monkeypatch.setattr(cifar10, "FILES", sums)


def md5(data):
    return hashlib.md5(data).hexdigest()


def folder_in(place, folder):
    (place / folder).mkdir()
    for name, data in FILES[folder].items():
        (place / folder / name).write_bytes(data)
    return place / folder


def archive_in(place, name, monkeypatch, members=None):
    folder = ARCHIVES[name]
    with tarfile.open(place / name, "w:gz") as archive:
        for member, data in members or [(f"{folder}/{name}", data) for name, data in FILES[folder].items()]:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    monkeypatch.setitem(cifar10.ARCHIVES, name, (md5((place / name).read_bytes()), folder))
    return place / name


@pytest.mark.parametrize("folder", [cifar10.PYTHON, cifar10.BINARY])
@pytest.mark.parametrize("kind", ["folder", "parent", "archive", "folder of the archive"])
def test_all_sources_give_the_same_samples(folder, kind, small, tmp_path, options, monkeypatch):
    archive = next(name for name, of in ARCHIVES.items() if of == folder)
    place = {
        "folder": lambda: folder_in(tmp_path, folder),
        "parent": lambda: folder_in(tmp_path, folder).parent,
        "archive": lambda: archive_in(tmp_path, archive, monkeypatch),
        "folder of the archive": lambda: archive_in(tmp_path, archive, monkeypatch).parent,
    }[kind]()
    before = sorted(tmp_path.rglob("*"))
    samples = cifar10.cifar10(options(dataset="cifar10", data_dir=str(place)), 0)
    assert samples.images.shape == (6 * COUNT, 32, 32, 3) and samples.manifest.class_names[3] == "cat"
    for number, name in enumerate(BATCHES):
        data, labels = batch(name)
        rows = slice(number * COUNT, (number + 1) * COUNT)
        assert np.array_equal(samples.images[rows], data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        assert samples.manifest.classes()[rows].tolist() == labels
    assert samples.manifest.sources[[0, 59, 60, 71]].tolist() == [
        "train[00000]",
        "train[00059]",
        "test[00000]",
        "test[00011]",
    ]
    assert samples.manifest.splits.tolist() == ["train"] * 60 + ["test"] * 12
    assert samples.manifest.order().tolist() == list(range(72))
    assert sorted(tmp_path.rglob("*")) == before, "something was extracted"


@pytest.mark.parametrize("folder", [cifar10.PYTHON, cifar10.BINARY])
def test_a_changed_file_is_refused_by_name(folder, small, tmp_path, options):
    path = folder_in(tmp_path, folder) / list(FILES[folder])[2]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(
        UserError, match=rf"{path.name} isn't the official file of CIFAR-10: its MD5 is [0-9a-f]+, expected"
    ):
        cifar10.cifar10(options(dataset="cifar10", data_dir=str(tmp_path)), 0)


def test_a_half_downloaded_archive_is_refused(small, tmp_path, options, monkeypatch):
    path = archive_in(tmp_path, "cifar-10-binary.tar.gz", monkeypatch)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"cifar-10-binary\.tar\.gz isn't the official file"):
        cifar10.cifar10(options(dataset="cifar10", data_dir=str(tmp_path)), 0)


def test_members_that_do_not_belong_are_left_alone(small, tmp_path, options, monkeypatch):
    link = tarfile.TarInfo(f"{cifar10.BINARY}/data_batch_1.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    good = [(f"{cifar10.BINARY}/{name}", data) for name, data in FILES[cifar10.BINARY].items()]
    members = [("../../outside.bin", b"x"), ("/absolute.bin", b"x"), (link, b""), *good]
    archive_in(tmp_path, "cifar-10-binary.tar.gz", monkeypatch, members)
    assert len(cifar10.cifar10(options(dataset="cifar10", data_dir=str(tmp_path)), 0).manifest) == 72
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]
    archive_in(tmp_path, "cifar-10-binary.tar.gz", monkeypatch, [(link, b""), *good[1:]])
    with pytest.raises(UserError, match=r"lacks data_batch_1\.bin"):
        cifar10.cifar10(options(dataset="cifar10", data_dir=str(tmp_path)), 0)


class Payload:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "payload",
    [Payload(os.system, "touch pwned"), Payload(eval, "1"), Payload(getattr, "x", "upper"), Payload(np.load, "x")],
)
def test_a_pickle_that_asks_for_more_is_refused(payload, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"A pickle asked for .*: refused"):
        cifar10.unpickle(pickle.dumps({b"data": payload}, protocol))
    assert not list(tmp_path.iterdir())


def test_arrays_lists_and_numbers_are_unpickled_and_false_shapes_ask_for_no_memory():
    value = {b"data": np.arange(12, dtype=np.uint8).reshape(3, 4).T, b"labels": [1, 2], b"name": b"x"}
    found = cifar10.unpickle(pickle.dumps(value, protocol=2))
    assert np.array_equal(found[b"data"], value[b"data"]) and found[b"labels"] == [1, 2] and found[b"name"] == b"x"
    huge = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS'b'\ntR."
    assert cifar10.unpickle(huge).size == 0


def test_a_data_dir_that_is_not_there_is_an_error_and_not_a_download(options, tmp_path):
    with pytest.raises(UserError, match=r"There is no file or folder .*nowhere"):
        cifar10.cifar10(options(dataset="cifar10", data_dir=str(tmp_path / "nowhere")), 0)


def test_without_network_and_data_one_message_says_what_was_tried_and_the_three_ways_out(
    no_network, tmp_path, options, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder_in(tmp_path, cifar10.PYTHON).joinpath("test_batch").unlink()
    with pytest.raises(UserError) as caught:
        load(options(dataset="cifar10", data_dir=str(tmp_path)), 0)
    message = str(caught.value)
    for part in (
        "cifar-10-batches-py lacks test_batch",
        f"no prepared TFDS folder of cifar10 in {tmp_path / 'tensorflow_datasets'}",
        "a download: storage.googleapis.com doesn't answer",
        "--data_dir=FOLDER with the official cifar-10-python.tar.gz or cifar-10-binary.tar.gz",
        "with a prepared TFDS folder",
        "or connect this machine to the network",
    ):
        assert part in message
    assert "\n" not in message


def test_a_name_server_that_does_not_answer_costs_no_more_than_our_patience(monkeypatch):
    import socket
    import threading
    import time

    held = threading.Event()

    def hang(*_, **__):
        held.wait(60)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    began = time.monotonic()
    assert not tfds.reachable("storage.googleapis.com", 443, seconds=0.2)
    assert time.monotonic() - began < 10
    held.set()


def test_the_official_files(shared_data, options):
    """The sums of the binary files are of the same records as the python files, whose sums the world knows."""
    folder = shared_data("cifar10")
    official = cifar10.find_official(folder, [])
    for name, contents in official.items():
        pixels, labels = cifar10._records(contents, name)
        records = np.concatenate([labels.astype(np.uint8)[:, np.newaxis], pixels], axis=1)
        assert md5(records.tobytes()) == cifar10.FILES[cifar10.BINARY][f"{name}.bin"]
    samples = load(options(dataset="cifar10", data_dir=str(folder), validation_fraction=0.02), 0)
    assert [len(samples.manifest.ids(split)) for split in ("train", "validation", "test")] == [49_000, 1_000, 10_000]
    assert np.bincount(samples.manifest.classes()[samples.manifest.ids("validation")]).tolist() == [100] * 10
    means = samples.images[samples.manifest.splits != "test"].mean(axis=(0, 1, 2))
    assert np.allclose(means, [125.3, 123.0, 113.9], atol=0.1)  # 0.4914, 0.4822, 0.4465 of 255, as everybody has them
