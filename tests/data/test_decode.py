"""The one door from bytes to pixels agrees with Pillow, pixel by pixel, and lets nothing bad through."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_imgcls.data import formats
from keras_imgcls.data.decode import SUFFIXES, BadImage, decode_any, decode_image, read_image, resize_image

GENERATOR = np.random.default_rng(0)
RGB = Image.fromarray(GENERATOR.integers(0, 256, (23, 31, 3), dtype=np.uint8))
RGBA = Image.fromarray(GENERATOR.integers(0, 256, (23, 31, 4), dtype=np.uint8))
SMOOTH = Image.fromarray(np.add.outer(np.arange(23) * 5, np.arange(31) * 3).astype(np.uint8))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, bits, colour, rows, *chunks):
    """A PNG put together by hand, for depths that Pillow doesn't write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*part) for part in chunks) + data + chunk(b"IEND", b"")


def packed(bits, colour, *chunks):
    rows = [GENERATOR.integers(0, 256, (31 * bits + 7) // 8, dtype=np.uint8).tobytes() for _ in range(23)]
    return png(31, 23, bits, colour, rows, *chunks)


def palette(bits):
    return packed(bits, 3, (b"PLTE", GENERATOR.integers(0, 256, 3 * 2**bits, dtype=np.uint8).tobytes()))


BOTH = {  # what TensorFlow and Pillow decode
    "jpeg": encoded(RGB, "JPEG"),
    "jpeg progressive": encoded(RGB, "JPEG", progressive=True, quality=90),
    "jpeg without subsampling": encoded(RGB, "JPEG", subsampling=0),
    "jpeg grey": encoded(SMOOTH, "JPEG"),
    "jpeg CMYK": encoded(RGB.convert("CMYK"), "JPEG"),
    "jpeg with a tail": encoded(RGB, "JPEG") + b"and more",
    "png": encoded(RGB, "PNG"),
    "png grey": encoded(SMOOTH, "PNG"),
    "png alpha": encoded(RGBA, "PNG"),
    "png grey alpha": encoded(RGBA.convert("LA"), "PNG"),
    "png black and white": encoded(SMOOTH.convert("1"), "PNG"),
    "png palette": encoded(RGB.quantize(200), "PNG"),
    "png palette with a transparent colour": encoded(RGB.quantize(60), "PNG", transparency=3),
    "png palette with alpha": encoded(RGB.quantize(60), "PNG", transparency=bytes(range(60))),
    "png with a transparent colour": encoded(RGB, "PNG", transparency=RGB.getpixel((3, 3))),
    "png grey with a transparent level": encoded(SMOOTH, "PNG", transparency=25),
    **{f"png palette of {bits} bits": palette(bits) for bits in (1, 2, 4, 8)},
    **{f"png grey of {bits} bits": packed(bits, 0) for bits in (2, 4)},
    "gif": encoded(RGB.quantize(90), "GIF"),
    "gif animation": encoded(RGB.quantize(90), "GIF", save_all=True, append_images=[SMOOTH.convert("P")]),
    "bmp": encoded(RGB, "BMP"),
    "bmp of 32 bits": encoded(RGBA, "BMP"),
    "webp": encoded(RGB, "WEBP", quality=80),
    "webp lossless": encoded(RGB, "WEBP", lossless=True),
    "webp alpha": encoded(RGBA, "WEBP", lossless=True, exact=True),
    "webp lossy alpha": encoded(RGBA, "WEBP", quality=70),
}  # fmt: skip
PILLOW_ONLY = {
    "ppm": encoded(RGB, "PPM"),
    "pgm": encoded(SMOOTH, "PPM"),
    "pbm": encoded(SMOOTH.convert("1"), "PPM"),
    "tiff": encoded(RGB, "TIFF"),
    "tiff alpha": encoded(RGBA, "TIFF", compression="tiff_lzw"),
    "bmp grey": encoded(SMOOTH, "BMP"),
    "bmp palette": encoded(RGB.quantize(30), "BMP"),
    "webp animation": encoded(RGB, "WEBP", save_all=True, append_images=[SMOOTH.convert("RGB")], lossless=True),
    "webp animation with alpha": encoded(RGBA, "WEBP", save_all=True, append_images=[RGBA.rotate(180)], lossless=True),
}


def by_pillow(contents, channels):
    """An independent reading: Pillow's own compositing and its own grey."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image = image.convert("RGB")
    return np.atleast_3d(np.asarray(image if channels == 3 else image.convert("L")))


@pytest.fixture(scope="module")
def graphs():
    """`decode_image` as an exported graph has it, by channels."""
    signature = [tf.TensorSpec([], tf.string)]
    return {
        channels: tf.function(lambda contents, channels=channels: decode_image(contents, channels), signature)
        for channels in (1, 3)
    }


@pytest.fixture
def saved(tmp_path):
    def save(contents, name="image"):
        (tmp_path / name).write_bytes(contents)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", [*BOTH, *PILLOW_ONLY])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_read_as_pillow_reads_it(name, channels, saved):
    contents = {**BOTH, **PILLOW_ONLY}[name]
    pixels = read_image(saved(contents), channels)
    assert pixels.dtype == np.uint8 and pixels.shape == (23, 31, channels)
    assert np.array_equal(pixels, by_pillow(contents, channels))


@pytest.mark.parametrize("name", BOTH)
def test_the_exported_graph_reads_the_same_pixels(name, graphs, saved):
    for channels in (1, 3):
        graph = graphs[channels](BOTH[name])
        assert np.array_equal(graph, read_image(saved(BOTH[name]), channels))


def test_the_graph_may_also_be_called_eagerly():
    for name in ("jpeg", "png alpha", "webp", "bmp", "gif"):
        assert np.array_equal(decode_image(tf.constant(BOTH[name]), 3), by_pillow(BOTH[name], 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected JPEG, PNG, GIF"):
        decode_image(tf.constant(PILLOW_ONLY["tiff"]), 3)


@pytest.mark.parametrize("name", PILLOW_ONLY)
def test_the_exported_graph_refuses_by_name_what_it_cannot_decode(name, graphs):
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected JPEG, PNG, GIF, BMP of 24 or 32 bits"):
        graphs[3](PILLOW_ONLY[name])


def test_the_door_within_this_process_takes_all_of_them_in_a_graph():
    contents = [*BOTH.values(), *PILLOW_ONLY.values()]
    decode = tf.autograph.experimental.do_not_convert(lambda one: decode_any(one, 3))
    dataset = tf.data.Dataset.from_tensor_slices(contents).map(decode)
    for pixels, one in zip(dataset.as_numpy_iterator(), contents, strict=True):
        assert np.array_equal(pixels, by_pillow(one, 3))


@pytest.mark.parametrize("folder", ["flowers", "brain_mri", "road_signs", "blood_cells", "exif_orientation"])
def test_real_photos_are_read_as_pillow_reads_them(folder, shared_data):
    paths = sorted(path for path in shared_data(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in paths[:: max(1, len(paths) // 60)]:
        contents = path.read_bytes()
        assert np.array_equal(read_image(path, 3), by_pillow(contents, 3)), path
        assert np.array_equal(read_image(path, 1), by_pillow(contents, 1)), path


@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_16_bits_the_upper_8_are_kept(colour, depth, saved, graphs):
    values = GENERATOR.integers(0, 65536, (5, 7, depth), dtype=np.uint16)
    contents = png(7, 5, 16, colour, [row.astype(">u2").tobytes() for row in values])
    upper = (values >> 8).astype(float)
    if depth in (2, 4):
        alpha = upper[..., -1:]
        upper = np.rint((upper[..., :-1] * alpha + 255 * (255 - alpha)) / 255)
    expected = np.broadcast_to(upper, (5, 7, 3))
    assert np.array_equal(read_image(saved(contents), 3), expected)
    assert np.array_equal(graphs[3](contents), expected)


def test_16_bits_of_other_formats_too_and_no_other_ranges(saved):
    values = GENERATOR.integers(0, 65536, (5, 7), dtype=np.uint16)
    for kind in ("PPM", "TIFF"):
        assert np.array_equal(read_image(saved(encoded(Image.fromarray(values), kind)), 1)[..., 0], values >> 8)
    floats = encoded(Image.fromarray(values.astype(np.float32)), "TIFF")
    with pytest.raises(BadImage, match="mode F beyond 16 bits have no known range"):
        read_image(saved(floats), 1)


def test_transparent_parts_of_a_gif_are_black(saved, graphs):
    image = RGB.quantize(60)
    contents = encoded(image, "GIF", transparency=3)
    transparent = np.asarray(image) == 3
    expected = np.where(transparent[..., np.newaxis], 0, np.asarray(image.convert("RGB")))
    assert transparent.any()
    assert np.array_equal(read_image(saved(contents), 3), expected)
    assert np.array_equal(graphs[3](contents), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_bad(kind, share, saved):
    contents = encoded(RGB if kind != "GIF" else RGB.quantize(90), kind)
    with pytest.raises(BadImage, match=r"image can't be decoded: .+"):
        read_image(saved(contents[: int(share * len(contents))]), 3)


def test_a_jpeg_without_its_last_two_bytes_is_bad(saved):
    with pytest.raises(BadImage):
        read_image(saved(BOTH["jpeg"][:-2]), 3)


def test_what_is_no_image_is_bad_and_says_why(saved, tmp_path):
    with pytest.raises(BadImage, match=r"image can't be decoded: the file is empty\."):
        read_image(saved(b""), 3)
    for text in (b"x", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<html>", b"\xff", b"\xff\xd8", b"\x89P", b"GI", b"BM", b"RIFF"):
        with pytest.raises(BadImage):
            read_image(saved(text), 3)
    with pytest.raises(BadImage, match="none can't be decoded: No such file or directory"):
        read_image(tmp_path / "none", 3)
    with pytest.raises(BadImage, match="Is a directory"):
        read_image(tmp_path, 3)
    with pytest.raises(BadImage) as caught:
        read_image(saved(b"no image"), 3)
    assert caught.value.path == str(tmp_path / "image") and caught.value.reason == "cannot identify image file"


def patched(contents, at, layout, *values):
    changed = bytearray(contents)
    struct.pack_into(layout, changed, at, *values)
    return bytes(changed)


BOMBS = {
    "png": png(60_000, 60_000, 8, 2, [b"\0"]),
    "jpeg": patched(BOTH["jpeg"], BOTH["jpeg"].index(b"\xff\xc0") + 5, ">HH", 20_000, 20_000),
    "gif": patched(BOTH["gif"], 6, "<HH", 65_500, 65_500),
    "bmp": patched(BOTH["bmp"], 18, "<ii", 60_000, 60_000),
    "bmp from the top": patched(BOTH["bmp"], 18, "<ii", 60_000, -60_000),
    "webp lossy": patched(BOTH["webp"], 26, "<HH", 16_383, 16_383),
    "webp lossless": patched(BOTH["webp lossless"], 21, "<I", 16_382 | 16_382 << 14),
    "webp alpha": patched(BOTH["webp lossy alpha"], 24, "<HBHB", 60_000, 0, 60_000, 0),
    "webp animation": patched(PILLOW_ONLY["webp animation"], 24, "<HBHB", 5_000, 0, 5_000, 0),
    "ppm": b"P6 60000 60000 255\n" + bytes(99),
    "tiff": PILLOW_ONLY["tiff"].replace(struct.pack("<HII", 4, 1, 31), struct.pack("<HII", 4, 1, 30_000_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_header_that_promises_too_many_pixels_is_refused_before_decoding(name, saved):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        BadImage,
        match=r"its header says \d+ x \d+ pixels; 178,956,970 are the limit|exceeds limit of 178956970 pixels|Invalid JPEG data",
    ):
        read_image(saved(BOMBS[name]), 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KB were allocated"


def test_the_graph_is_guarded_too(graphs):
    for name in ("png", "gif", "bmp", "webp lossy", "webp lossless", "webp alpha"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="its header says"):
            graphs[3](BOMBS[name])


def test_a_jpeg_has_the_same_limit_in_tensorflow_itself():
    assert formats.MAX_PIXELS == 2**29 // 3


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("width", "height", "size"), [(31, 23, 16), (200, 150, 64), (40, 90, 64), (20, 20, 32)])
def test_squash_is_pillows_resize(interpolation, width, height, size):
    pixels = np.asarray(RGB.resize((width, height), Image.Resampling.BICUBIC))
    expected = Image.fromarray(pixels).resize((size, size), Image.Resampling[interpolation.upper()])
    resized = resize_image(pixels, size, "squash", interpolation).numpy()
    difference = np.abs(resized.astype(int) - np.asarray(expected))
    # Pillow rounds between its two passes, and clips bicubic overshoot there.
    assert difference.max() <= {"bilinear": 1, "bicubic": 8, "nearest": 0}[interpolation]
    assert resized.dtype == np.uint8 and difference.mean() < 0.3


def test_area_is_the_mean_of_what_a_pixel_covers():
    pixels = GENERATOR.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    means = pixels.reshape(20, 2, 20, 3, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(pixels, 20, "squash", "area").numpy() - means).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("method", ["squash", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest"])
def test_an_image_of_the_right_size_stays_as_it_is(method, interpolation):
    pixels = GENERATOR.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    assert np.array_equal(resize_image(pixels, 24, method, interpolation), pixels)


@pytest.mark.parametrize("turn", [lambda pixels: pixels, lambda pixels: pixels.transpose(1, 0, 2)])
def test_crop_takes_the_centre_and_pad_keeps_the_whole_on_black(turn):
    pixels = turn(np.concatenate([np.full((8, 4, 1), 50), np.full((8, 8, 1), 100), np.full((8, 4, 1), 200)], 1))
    pixels = pixels.astype(np.uint8)
    assert np.unique(resize_image(pixels, 8, "crop", "bilinear")).tolist() == [100]
    padded = turn(resize_image(pixels, 8, "pad", "nearest").numpy())
    assert np.unique(padded[:2]).tolist() == np.unique(padded[-2:]).tolist() == [0]
    assert padded[2:-2, :, 0].tolist() == [[50] * 2 + [100] * 4 + [200] * 2] * 4


@pytest.mark.parametrize("method", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 500, 3), (500, 1, 1), (1, 1, 3)])
def test_extreme_shapes_and_graphs_of_unknown_size(method, shape):
    pixels = GENERATOR.integers(0, 256, shape, dtype=np.uint8)
    traced = tf.function(
        lambda image: resize_image(image, 16, method, "bilinear"), [tf.TensorSpec([None, None, shape[-1]], tf.uint8)]
    )
    assert traced.get_concrete_function().output_shapes == (16, 16, shape[-1])
    assert np.array_equal(traced(pixels), resize_image(pixels, 16, method, "bilinear"))
