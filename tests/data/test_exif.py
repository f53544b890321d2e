"""EXIF orientation is found as Pillow finds it, and malformed EXIF means upright."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_imgcls.data.exif import orientation, undo_orientation, upright

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def find():
    return tf.function(orientation, [tf.TensorSpec([], tf.string)])


def jpeg(exif=b""):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def tiff(value, order="<", kind=3, tag=0x0112, before=1, after=1, offset=8, layout=None):
    """A directory with the orientation among other entries."""
    other = struct.pack(order + "HHII", 0x0131, 2, 4, 0x41424344)
    field = struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
    entry = struct.pack(order + "HHI", tag, kind, 1) + field
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, offset)
    entries = other * before + entry + other * after
    return start + bytes(offset - 8) + struct.pack(order + "H", before + 1 + after) + entries + bytes(4)


def segment(data, marker=0xE1):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data


def file_with(*segments):
    return b"\xff\xd8" + b"".join(segments) + jpeg()[2:]


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_orientation_is_found_and_undone(value, order, find):
    contents = jpeg(b"Exif\0\0" + tiff(value, order))
    assert int(find(contents)) == value
    stored = Image.open(io.BytesIO(contents))
    seen = undo_orientation(tf.constant(np.asarray(stored)), tf.constant(contents))
    assert np.array_equal(seen, np.asarray(ImageOps.exif_transpose(stored)))


@pytest.mark.parametrize("value", range(1, 9))
def test_upright_is_pillows_transposition(value):
    image = Image.fromarray(PIXELS)
    image.getexif()[0x0112] = value
    assert np.array_equal(upright(PIXELS, tf.constant(value)), np.asarray(ImageOps.exif_transpose(image)))


def test_real_files_with_all_orientations(shared_data, find):
    folder = shared_data("exif_orientation")
    for value in range(1, 9):
        assert int(find((folder / f"Landscape_{value}.jpg").read_bytes())) == value
    assert int(find((folder / "Landscape_0.jpg").read_bytes())) == 1


FOUND = {
    "written as a long": file_with(segment(b"Exif\0\0" + tiff(6, kind=4))),
    "written as a long, big-endian": file_with(segment(b"Exif\0\0" + tiff(6, ">", kind=4))),
    "after other segments": file_with(segment(bytes(9), 0xE0), segment(b"hello", 0xFE), segment(b"Exif\0\0" + tiff(6))),
    "after XMP": file_with(segment(b"http://ns.adobe.com/xap/1.0/\0<x/>"), segment(b"Exif\0\0" + tiff(6))),
    "after 300 KB of profile": file_with(*[segment(bytes(60_000), 0xE2)] * 5, segment(b"Exif\0\0" + tiff(6))),
    "after tables": file_with(segment(bytes([0]) + bytes(range(1, 65)), 0xDB), segment(b"Exif\0\0" + tiff(6))),
    "after fill bytes": file_with(b"\xff\xff\xff", segment(b"Exif\0\0" + tiff(6))),
    "as the first of entries": file_with(segment(b"Exif\0\0" + tiff(6, before=0))),
    "as the last of entries": file_with(segment(b"Exif\0\0" + tiff(6, before=30, after=0))),
    "in a directory further on": file_with(segment(b"Exif\0\0" + tiff(6, offset=100))),
}  # fmt: skip
LOST = {
    "no EXIF": jpeg(),
    "another tag": file_with(segment(b"Exif\0\0" + tiff(6, tag=0x0113))),
    "value 0": file_with(segment(b"Exif\0\0" + tiff(0))),
    "value 9": file_with(segment(b"Exif\0\0" + tiff(9))),
    "value 65542, whose lower half is 6": file_with(segment(b"Exif\0\0" + tiff(65542, kind=4))),
    "text instead of a number": file_with(segment(b"Exif\0\0" + tiff(6, kind=2))),
    "no byte order": file_with(segment(b"Exif\0\0XX" + tiff(6)[2:])),
    "a directory beyond the end": file_with(segment(b"Exif\0\0II*\0\xff\xff\xff\xff" + tiff(6)[8:])),
    "a directory beyond the end, big-endian": file_with(segment(b"Exif\0\0MM\0*\x7f\xff\xff\xff" + tiff(6, ">")[8:])),
    "more entries than there are": file_with(segment(b"Exif\0\0" + b"II*\0\x08\0\0\0\xff\xff")),
    "an empty segment": file_with(segment(b"Exif\0\0")),
    "half a header": file_with(segment(b"Exif\0\0II*")),
    "EXIF behind the pixels": jpeg() + segment(b"Exif\0\0" + tiff(6)),
    "a segment of length 0": b"\xff\xd8\xff\xe0\0\0" + segment(b"Exif\0\0" + tiff(6)),
    "a segment beyond the end": b"\xff\xd8\xff\xe1\xff\xffExif\0\0",
    "nothing but fill bytes": b"\xff\xd8" + b"\xff" * 100_000 + b"Exif\0\0",
    "nothing": b"",
    "one byte": b"\xff",
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_orientation_is_found_wherever_it_stands(name, find):
    assert int(find(FOUND[name])) == 6


@pytest.mark.parametrize("name", LOST)
def test_what_is_malformed_is_upright(name, find):
    assert int(find(LOST[name])) == 1


def test_the_image_is_left_alone_where_exif_is_malformed():
    for name, contents in LOST.items():
        assert np.array_equal(undo_orientation(tf.constant(PIXELS), tf.constant(contents)), PIXELS), name


def test_mutations_end_and_give_an_orientation(find):
    generator = np.random.default_rng(1)
    seeds = [file_with(segment(b"Exif\0\0" + tiff(6, order)))[:200] for order in "<>"]
    for round_number in range(400):
        contents = bytearray(seeds[round_number % 2])
        for place in generator.integers(0, len(contents), generator.integers(1, 6)):
            contents[place] = generator.choice([0, 1, 127, 128, 255, generator.integers(256)])
        contents = bytes(contents[: generator.integers(1, len(contents))] if round_number % 3 == 0 else contents)
        assert 1 <= int(find(contents)) <= 8
