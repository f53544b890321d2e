"""`bin/data preview`: a sheet with the first epoch's images, and mistakes answered before TensorFlow starts."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.__main__ import main
from keras_imgcls.commands import data
from keras_imgcls.core.config import PreviewConfig
from keras_imgcls.core.errors import UserError


def preview(tmp_path, **options):
    output = tmp_path / "sheet.png"
    config = PreviewConfig(dataset="digits", images=12, output=str(output), **options)
    assert data.run(config, "preview") == 0
    return np.asarray(Image.open(output))


def test_a_sheet_of_digits(tmp_path, capsys):
    sheet = preview(tmp_path)
    assert sheet.ndim == 3 and sheet.std() > 30
    assert capsys.readouterr().out == f"{tmp_path}/sheet.png: 12 training images of digits, not augmented\n"
    assert np.array_equal(preview(tmp_path), sheet)


def test_augmentation_changes_the_sheet_and_is_named(tmp_path, capsys):
    plain, augmented = preview(tmp_path), preview(tmp_path, augmented=True)
    assert augmented.shape == plain.shape and not np.array_equal(augmented, plain)
    assert "augmented with pad_crop(1)\n" in capsys.readouterr().out
    operations = np.asarray(Image.open(tmp_path / "sheet_operations.png"))
    assert operations.shape[0] > 2 * operations.shape[1]  # a row for each of some thirty operations


def test_an_augmentation_of_nothing_changes_nothing(tmp_path):
    assert np.array_equal(preview(tmp_path), preview(tmp_path, augmented=True, augment="flip(0)"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "sheet.jpg"}, "--output ends in .png; received 'sheet.jpg'."),
        ({"augment": "flop"}, "Unknown augmentation 'flop'. Did you mean 'flip'?"),
        ({"dataset": ""}, "No data: name a set (--dataset=digits) or a folder"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        data.run(PreviewConfig(**{"dataset": "digits", **options}), "preview")


def test_a_stray_word_is_refused(capsys):
    assert main(["data", "preview", "digits"]) == 1
    assert capsys.readouterr().err == (
        "error: Unexpected argument 'digits': bin/data preview takes flags, --name=value. See --help.\n"
    )


def test_mistakes_are_answered_without_tensorflow():
    code = (
        "import sys\n"
        "sys.modules.update(keras=None, tensorflow=None, numpy=None)\n"
        "from keras_imgcls.__main__ import main\n"
        "assert main(['data', 'preveiw']) == 1\n"
        "assert main(['data', 'preview', '--dataset=digts']) == 1\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Did you mean 'preview'?" in finished.stderr and "Did you mean 'digits'?" in finished.stderr
