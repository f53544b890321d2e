"""Frames of videos and animations: which ones, when, and with which pixels."""

import sys

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.core.errors import UserError
from keras_imgcls.data import formats, frames
from keras_imgcls.data.decode import BadImage, read_image

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 40), (40, 220, 220)]


def animation(path, size=(24, 16), duration=200):
    pictures = [Image.new("RGB", size, colour) for colour in COLOURS]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0, lossless=True)
    return path


def film(path, count=30, rate=10, size=(64, 48), rotation=0):
    """Frame n is grey of level 5 n + 40, its upper left quarter white."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 4_000_000
        for number in range(count):
            pixels = np.full((size[1], size[0], 3), 5 * number + 40, np.uint8)
            pixels[: size[1] // 2, : size[0] // 2] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
@pytest.mark.parametrize("step", [1, 2])
def test_an_animation_gives_every_nth_frame_with_its_time(tmp_path, suffix, step):
    path = animation(tmp_path / f"a.{suffix}")
    assert frames.is_animated(str(path))
    found = list(frames.animation_frames(path, 3, step))
    assert [time for time, _ in found] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8][::step])
    for (_, pixels), colour in zip(found, COLOURS[::step], strict=True):
        assert pixels.shape == (16, 24, 3) and np.abs(pixels - np.array(colour)).max() <= 3
    assert np.array_equal(found[0][1], read_image(path, 3)), "the first frame is the one that training sees"


def test_one_picture_is_no_animation(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    (tmp_path / "b.gif").write_bytes(b"GIF89a and no more")
    assert not any(frames.is_animated(str(tmp_path / name)) for name in ("a.gif", "b.gif", "missing.webp", "c.jpg"))


def test_an_animation_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_PIXELS", 24 * 16 * 4 - 1)
    with pytest.raises(BadImage, match=r"a\.gif can't be decoded: its header says 16 x 24 pixels"):
        next(frames.animation_frames(animation(tmp_path / "a.gif"), 3))


@pytest.mark.parametrize("step, numbers", [(1, range(30)), (7, range(0, 30, 7)), (0, (0, 10, 20))])
def test_a_video_gives_every_nth_frame_or_one_a_second(tmp_path, step, numbers):
    found = list(frames.video_frames(film(tmp_path / "a.mp4"), 3, step))
    assert [time for time, _ in found] == pytest.approx([number / 10 for number in numbers])
    levels = [pixels[-12:, -12:].mean() for _, pixels in found]
    np.testing.assert_allclose(levels, [5 * number + 40 for number in numbers], atol=4)
    assert found[0][1].shape == (48, 64, 3) and found[0][1].dtype == np.uint8


def test_grey_models_get_one_channel(tmp_path):
    (time, pixels), *_ = frames.video_frames(film(tmp_path / "a.mp4", 2), 1, 1)
    assert time == 0 and pixels.shape == (48, 64, 1) and abs(pixels[-12:, -12:].mean() - 40) < 4


@pytest.mark.parametrize("degrees, corner", [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_the_rotation_of_a_phone_is_undone(degrees, corner):
    """A frame that is to be turned by so many degrees counter-clockwise: where its white corner comes to lie."""

    class Frame:
        height, width, rotation = 48, 64, degrees

        def to_ndarray(self, format):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[0, 0] = 255
            return pixels

    upright = frames._upright(Frame())
    assert upright.shape[:2] == ((48, 64) if degrees % 180 == 0 else (64, 48))
    assert upright[corner].min() == 255 and (upright > 0).sum() == 3


def test_what_is_no_video_is_said(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(BadImage, match=r"a\.mp4 can't be decoded: Invalid data found"):
        next(frames.video_frames(tmp_path / "a.mp4", 3))
    with pytest.raises(BadImage, match=r"missing\.mp4 can't be decoded: No such file"):
        next(frames.video_frames(tmp_path / "missing.mp4", 3))


def test_a_torn_video_gives_what_it_has(tmp_path):
    whole = film(tmp_path / "a.mkv").read_bytes()
    (tmp_path / "torn.mkv").write_bytes(whole[: len(whole) // 2])
    found = list(frames.video_frames(tmp_path / "torn.mkv", 3, 1))
    assert 0 < len(found) < 30


def test_without_pyav_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"PyAV, which isn't installed: pip install 'keras_imgcls\[video\]'"):
        next(frames.video_frames(tmp_path / "a.mp4", 3))


def test_real_videos(shared_data):
    pytest.importorskip("av")
    found = list(frames.video_frames(shared_data("video") / "bottle-detection.mp4", 3))
    times = [time for time, _ in found]
    assert len(found) == 40 and found[0][1].shape == (360, 640, 3)
    assert np.diff(times) == pytest.approx(np.full(39, 1.0), abs=0.05)
