"""What an export is held against: held-out images from raw files, and the Keras model itself."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.data import readers
from keras_imgcls.export import fresh, saved_model
from keras_imgcls.export import reference as room
from keras_imgcls.export.parity import Limits, compare
from keras_imgcls.inference.predictor import load_run
from tests.inference.tiny import digits, make_model, make_run


def photo_run(folder, data_dir, classes, **options):
    """A run over a folder of photos, its split recorded, its network not trained."""
    options = {"dataset": "", "data_dir": str(data_dir), "image_size": 24, "channels": 3, **options}
    run = make_run(folder, model=make_model((24, 24, 3), len(classes)), names=classes, **options)
    readers.load(run.config, run.config.seed).manifest.write(run.manifest)
    return run


def save_in_every_format(folder):
    """The same kind of picture as a JPEG on its side, RGBA, palette, GIF, WebP, BMP, PPM and a PNG of 16 bits."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)

    def picture():
        small = Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8))
        return small.resize((60, 44), Image.Resampling.BICUBIC)

    turned = Image.Exif()
    turned[0x0112] = 6
    picture().save(folder / "turned.jpg", exif=turned)
    picture().convert("RGBA").save(folder / "a.png")
    picture().convert("P").save(folder / "p.png")
    for suffix in ("gif", "webp", "bmp", "ppm"):
        picture().save(folder / f"b.{suffix}")
    Image.fromarray(random.integers(0, 65536, (44, 60), np.uint16)).save(folder / "deep.png")


@pytest.fixture(scope="module")
def formats_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    save_in_every_format(folder / "photos" / "test" / "cat")
    for name in ("cat", "dog"):
        (folder / "photos" / "train" / name).mkdir(parents=True)
        Image.fromarray(np.full((30, 30, 3), 90, np.uint8)).save(folder / "photos" / "train" / name / "x.png")
    return photo_run(folder / "run", folder / "photos", ("cat", "dog"), resize="crop", interpolation="bicubic")


def test_raw_files_of_every_format_give_the_pixels_of_training(formats_run, tmp_path):
    """The SavedModel gets each file as it lies there (a PPM as PNG) and answers as for the pixels of training."""
    predictor = load_run(formats_run.path)
    expected = room.reference(formats_run, predictor, 100)
    assert expected.split == "test" and len(expected.images) == 8
    raw = {path.read_bytes() for path in (formats_run.path.parent / "photos" / "test" / "cat").iterdir()}
    assert sum(content in raw for content in expected.encoded) == 7, "all but the PPM go in as they are"
    assert len(np.unique(expected.probabilities[:, 0].round(4))) >= 6, "the images are too alike to tell anything"
    saved_model.write(predictor, tmp_path / "saved_model" / "1")
    folder = tmp_path / "saved_model" / "1"
    for answers in fresh.saved_model(folder, expected, tmp_path / "work"):
        result = compare("saved_model", folder, answers, expected, Limits(1.0, 0.0, 1e-5))
        assert result.failures == () and result.images == 8


def test_raw_files_resized_as_in_training_are_the_pixels_of_training(formats_run):
    expected = room.reference(formats_run, load_run(formats_run.path), 100)
    np.testing.assert_array_equal(expected.pixels("crop", "bicubic"), expected.images)
    assert not np.array_equal(expected.pixels("squash", "bicubic"), expected.images)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is absent")
def test_the_digest_of_the_images_is_what_sha256sum_says(formats_run):
    data = room.reference(formats_run, load_run(formats_run.path), 1).data
    command = f"cut -d, -f2 '{formats_run.manifest}' | tail -n +2 | xargs sha256sum | sha256sum"
    said = subprocess.run(command, shell=True, cwd=data.root, capture_output=True, text=True, check=True).stdout
    assert room.contents_digest(formats_run, data) == said.split()[0]


@pytest.mark.parametrize("split", ["test", "validation", "train"])
def test_held_out_images_are_preferred(tmp_path, split):
    run = make_run(tmp_path / "run", names=tuple("0123456789"))
    manifest = readers.load(run.config, run.config.seed).manifest
    keep = {"test": ("train", "validation", "test"), "validation": ("train", "validation"), "train": ("train",)}[split]
    manifest.take(np.flatnonzero(np.isin(manifest.splits, keep))).write(run.manifest)
    expected = room.reference(run, load_run(run.path), 30)
    assert expected.split == split and len(expected.images) == 30
    assert len(set(expected.truth.tolist())) >= 7, "spread over the split, not its first images"
    assert room.reference(run, load_run(run.path), 5, ["train"]).split == "train", "unless another is asked for"


def test_the_reference_is_the_keras_model(predictor):
    images = digits(70)
    logits = predictor.model.predict(images, verbose=0).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(room.keras_probabilities(predictor, images), expected, atol=1e-6)
