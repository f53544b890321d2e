"""Every place gives the same pixels in the order asked for, and a cache on the disk is whole or isn't there."""

import json
import os
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.errors import UserError
from keras_imgcls.data import cache
from keras_imgcls.data.decode import read_image, resize_image
from keras_imgcls.data.decoding import Arrays, Decoding, Files, cpu_tensor
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.samples import Samples
from keras_imgcls.data.store import open_store

COUNT, SIZE = 70, 24


@pytest.fixture
def photos(tmp_path):
    """Files of several formats, sizes and kinds, one of them in a folder."""
    generator = np.random.default_rng(0)
    root = tmp_path / "photos"
    (root / "below").mkdir(parents=True)
    for number in range(COUNT):
        pixels = generator.integers(0, 256, (*generator.integers(10, 60, 2), 3), dtype=np.uint8)
        suffix = ("jpg", "png", "ppm", "webp", "gif", "bmp")[number % 6]
        folder = root / "below" if number % 9 == 0 else root
        Image.fromarray(pixels).save(folder / f"{number:02} photo.{suffix}")
    return root


def samples_of(root):
    sources = np.array(sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*")))
    manifest = Manifest(sources, one_hot(np.arange(len(sources)) % 2, 2), np.full(len(sources), "train"), ("a", "b"))
    return Samples("photos", manifest, root=root)


def images_of(shape, seed=1):
    images = np.random.default_rng(seed).integers(0, 256, (COUNT, *shape), dtype=np.uint8)
    manifest = Manifest(np.arange(COUNT).astype(str), np.ones((COUNT, 1), np.float32), np.full(COUNT, "train"), ("a",))
    return Samples("array", manifest, images)


def open_at(samples, place, folder, size=SIZE, channels=3, **options):
    return open_store(samples, DataOptions(cache=place, cache_dir=str(folder), **options), size, channels)


def gathered(store, ids, batch_size=16, **options):
    images, rows = zip(*store.dataset(ids, batch_size, **options).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(rows), [len(part) for part in rows]


@pytest.mark.parametrize("place", ["ram", "disk", "none"])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_files_give_the_pixels_of_the_one_door(place, resize, photos, tmp_path):
    samples = samples_of(photos)
    store = open_at(samples, place, tmp_path / "cache", resize=resize)
    assert store.shape == (SIZE, SIZE, 3) and store.place == place
    ids = np.random.default_rng(2).permutation(COUNT)
    images, rows, _ = gathered(store, ids)
    assert np.array_equal(rows, ids)
    for image, row in zip(images, rows, strict=True):
        pixels = read_image(photos / samples.manifest.sources[row], 3)
        assert np.array_equal(image, resize_image(pixels, SIZE, resize, "bilinear"))


@pytest.mark.parametrize("place", ["ram", "disk", "none"])
@pytest.mark.parametrize(
    ("shape", "channels"), [((24, 24, 3), 3), ((24, 24, 3), 1), ((24, 24, 1), 3), ((8, 8, 1), 1), ((40, 30, 3), 3)]
)
def test_arrays_are_resized_and_get_their_channels(place, shape, channels, tmp_path):
    samples = images_of(shape)
    store = open_at(samples, place, tmp_path, channels=channels)
    images, _, _ = gathered(store, np.arange(COUNT))
    assert images.shape == (COUNT, SIZE, SIZE, channels) and images.dtype == np.uint8
    for image, pixels in zip(images, samples.images, strict=True):
        pillow = Image.fromarray(pixels.squeeze()).convert("L" if channels == 1 else "RGB")
        pixels = np.atleast_3d(np.asarray(pillow))
        assert np.array_equal(image, resize_image(pixels, SIZE, "squash", "bilinear"))


@pytest.mark.parametrize("place", ["ram", "disk", "none"])
def test_ids_come_in_the_order_asked_for_as_often_as_asked_for(place, photos, tmp_path):
    store = open_at(samples_of(photos), place, tmp_path / "cache")
    whole, _, _ = gathered(store, np.arange(COUNT))
    ids = np.array([5, 5, 69, 0, 33, 5, 12], np.int64)
    images, rows, sizes = gathered(store, ids, 3)
    assert rows.dtype == np.int64 and rows.tolist() == ids.tolist() and sizes == [3, 3, 1]
    assert np.array_equal(images, whole[ids])
    images, rows, sizes = gathered(store, ids, 3, drop_remainder=True)
    assert rows.tolist() == ids[:6].tolist() and sizes == [3, 3]
    assert list(store.dataset(ids[:0], 3)) == []
    spec = store.dataset(ids, 3, drop_remainder=True).element_spec
    assert spec == (tf.TensorSpec([3, SIZE, SIZE, 3], tf.uint8), tf.TensorSpec([3], tf.int64))
    assert store.dataset(ids, 3).element_spec[0].shape.as_list() == [None, SIZE, SIZE, 3]


def test_images_of_the_right_shape_are_taken_as_they_are(tmp_path):
    samples = images_of((SIZE, SIZE, 3))
    for place in ("auto", "disk", "none"):
        images, _, _ = gathered(open_at(samples, place, tmp_path), np.arange(COUNT))
        assert np.array_equal(images, samples.images)
    assert not list(tmp_path.iterdir())


def test_a_second_opening_decodes_nothing(photos, tmp_path, monkeypatch):
    samples = samples_of(photos)
    first, _, _ = gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "_decode_all", refuse)
    second, _, _ = gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))
    assert np.array_equal(first, second)
    with pytest.raises(AssertionError, match="decoded again"):
        open_at(samples, "disk", tmp_path / "cache", interpolation="bicubic")


def kept_file(folder):
    return next((folder / "pixels").glob("*.npy"))


def damage_a_byte(path):
    with open(path, "r+b") as file:
        file.seek(5_000)
        file.write(bytes([file.read(1)[0] ^ 1]))
        file.seek(5_000)
        file.write(b"\x07")


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage", [damage_a_byte, truncate, lambda path: path.unlink(), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_cache_is_made_anew(damage, photos, tmp_path):
    samples = samples_of(photos)
    first, _, _ = gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))
    damage(kept_file(tmp_path / "cache"))
    again, _, _ = gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bytes": 1}'])
def test_a_damaged_marker_is_no_marker(text, photos, tmp_path):
    samples = samples_of(photos)
    first, _, _ = gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))
    kept_file(tmp_path / "cache").with_suffix(".json").write_text(text)
    again, _, _ = gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))
    assert np.array_equal(first, again)


def test_a_copied_cache_is_taken_by_its_checksum(photos, tmp_path, monkeypatch):
    samples = samples_of(photos)
    open_at(samples, "disk", tmp_path / "cache")
    os.utime(kept_file(tmp_path / "cache"), (1, 1))
    monkeypatch.setattr(cache, "_decode_all", None)
    gathered(open_at(samples, "disk", tmp_path / "cache"), np.arange(COUNT))


def test_a_changed_file_is_decoded_anew_in_the_same_place(photos, tmp_path):
    samples = samples_of(photos)
    open_at(samples, "disk", tmp_path / "cache")
    Image.new("RGB", (30, 20), "white").save(photos / "01 photo.png")
    store = open_at(samples, "disk", tmp_path / "cache")
    row = samples.manifest.sources.tolist().index("01 photo.png")
    images, _, _ = gathered(store, np.array([row]))
    assert images.min() == 255
    assert len(list((tmp_path / "cache" / "pixels").glob("*.npy"))) == 1


def test_a_fill_that_dies_leaves_nothing_and_what_a_kill_left_goes(photos, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "pixels"
    folder.mkdir(parents=True)
    abandoned, alive = folder / ".old.12345678.part.npy", folder / ".new.12345678.part.npy"
    for path, age in ((abandoned, 2 * cache.ABANDONED_AFTER), (alive, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    whole = cache._decode_all

    def die(images, decoding, write):
        write(0, np.zeros(decoding.shape, np.uint8))
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_decode_all", die)
    with pytest.raises(KeyboardInterrupt):
        open_at(samples_of(photos), "disk", tmp_path / "cache")
    assert sorted(folder.iterdir()) == [alive]
    monkeypatch.setattr(cache, "_decode_all", whole)
    assert open_at(samples_of(photos), "disk", tmp_path / "cache").place == "disk"


def test_a_full_disk_is_one_clear_error(photos, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Can't write .*\.npy: File too large"):
            open_at(samples_of(photos), "disk", tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "cache" / "pixels").iterdir()) == []


def test_a_file_that_became_unreadable_is_named(photos, tmp_path):
    samples = samples_of(photos)
    (photos / "05 photo.bmp").write_bytes(b"BM")
    for place in ("ram", "disk"):
        with pytest.raises(UserError, match=r"1 of the files in .*photos became unreadable: 05 photo\.bmp: "):
            open_at(samples, place, tmp_path / "cache")


def test_bad_files_are_found_and_the_others_are_right(photos, tmp_path):
    bad = ["02 photo.ppm", "30 photo.jpg", "31 photo.png", "below/63 photo.webp"]
    bad = [name for name in bad if (photos / name).exists()]
    for name in bad:
        (photos / name).write_bytes((photos / name).read_bytes()[:60])
    files = Files(photos, samples_of(photos).manifest.sources.tolist())
    decoding = Decoding(SIZE, 3, "squash", "bilinear")
    for place in ("ram", "disk", "none"):
        kept = cache.keep(files, decoding, place, tmp_path / "cache")
        assert [files.sources[row] for row in sorted(kept.bad)] == sorted(bad) and all(kept.bad.values())
        for row in range(0, COUNT, 3) if kept.pixels is not None else ():
            expected = np.zeros(decoding.shape) if row in kept.bad else files.read(row, decoding)
            assert np.array_equal(kept.pixels[row], expected)


def test_every_file_may_be_bad(tmp_path):
    for number in range(50):
        (tmp_path / f"{number:02}.png").write_bytes(b"\x89PNG")
    files = Files(tmp_path, [f"{number:02}.png" for number in range(50)])
    assert len(cache.keep(files, Decoding(8, 3, "squash", "bilinear"), "ram", tmp_path).bad) == 50


def test_the_look_at_files_is_remembered_until_one_changes(photos, tmp_path):
    def files():
        return Files(photos, samples_of(photos).manifest.sources.tolist())

    assert cache.recall(files(), tmp_path / "cache") is None
    cache.remember(files(), {3: "torn"}, [[0, 2]], tmp_path / "cache")
    assert cache.recall(files(), tmp_path / "cache") == ({3: "torn"}, [[0, 2]])
    os.utime(photos / "01 photo.png", (1, 1))
    assert cache.recall(files(), tmp_path / "cache") is None


def test_a_folder_that_cannot_be_written_only_costs_another_look(photos, tmp_path):
    (tmp_path / "cache").write_text("a file, where a folder is wanted")
    files = Files(photos, samples_of(photos).manifest.sources.tolist())
    cache.remember(files, {}, [], tmp_path / "cache")
    assert cache.recall(files, tmp_path / "cache") is None


def test_auto_takes_ram_where_it_is_ample_and_a_fixed_bound_when_deterministic(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 4 * 2**20)
    assert cache.choose_place("auto", 2**20, tmp_path) == "ram"
    assert cache.choose_place("auto", 2**20 + 1, tmp_path / "not" / "made" / "yet") == "disk"
    assert cache.choose_place("auto", 2**31, tmp_path, deterministic=True) == "ram"
    assert cache.choose_place("auto", 2**31 + 1, tmp_path, deterministic=True) == "disk"
    assert cache.choose_place("auto", 2**60, tmp_path) == "none"
    assert [cache.choose_place(place, 2**60, tmp_path) for place in ("none", "ram", "disk")] == ["none", "ram", "disk"]


def test_memory_is_shared_and_a_mapped_file_stays_on_the_disk(tmp_path):
    np.save(tmp_path / "pixels.npy", np.arange(4096, dtype=np.uint8).reshape(64, 4, 4, 4))
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="c")
    tensor = cpu_tensor(mapped)
    mapped[5] = 77
    assert tensor[5].numpy().tolist() == mapped[5].tolist() and "CPU" in tensor.device
    unaligned = np.arange(100, dtype=np.uint8)[1:]
    assert np.array_equal(cpu_tensor(unaligned), unaligned)


def test_pixels_are_captured_and_not_copied_into_the_graph(tmp_path):
    store = open_at(images_of((SIZE, SIZE, 3)), "ram", tmp_path)
    dataset = store.dataset(np.arange(COUNT), 16)
    function = dataset._map_func.function
    assert len(function.graph.as_graph_def().SerializeToString()) < 10_000 < store._pixels.numpy().nbytes


def test_the_marker_says_what_is_kept(photos, tmp_path):
    samples = samples_of(photos)
    open_at(samples, "disk", tmp_path / "cache")
    path = kept_file(tmp_path / "cache")
    marker = json.loads(path.with_suffix(".json").read_text())
    assert marker["bytes"] == path.stat().st_size and marker["bad"] == {} and len(marker["sha256"]) == 64


def test_collections_of_arrays_are_told_apart_by_their_pixels():
    assert Arrays("a", images_of((4, 4, 1)).images).fingerprint == Arrays("b", images_of((4, 4, 1)).images).fingerprint
    assert (
        Arrays("a", images_of((4, 4, 1), 1).images).fingerprint
        != Arrays("a", images_of((4, 4, 1), 2).images).fingerprint
    )
