"""`bin/models`: names at once, costs with the figures of `describe`."""

import subprocess
import sys

import pytest

from keras_imgcls.commands import models
from keras_imgcls.core.config import ModelsConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import MODELS


def test_list_has_every_name_with_its_summary():
    text = models.overview("")
    for name in MODELS.names():
        assert any(line.startswith(f"{name} ") and MODELS.summary(name) in line for line in text.splitlines())


def test_list_is_narrowed_by_a_part_of_the_name_and_sorts_depths_as_numbers():
    names = [line.split()[0] for line in models.overview("vgg1").splitlines()[2:]]
    assert names == ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]
    depths = [line.split()[0] for line in models.overview("resnet").splitlines()[2:]]
    assert depths.index("resnet20") < depths.index("resnet110")


def test_list_of_nothing_names_the_nearest():
    with pytest.raises(UserError, match=r"Unknown model 'resnt20'\. Did you mean 'resnet20'\?"):
        models.overview("resnt20")


def test_list_and_mistakes_are_answered_without_keras(tmp_path):
    code = (
        "import sys\n"
        "sys.modules.update(keras=None, tensorflow=None, numpy=None)\n"
        "from keras_imgcls.__main__ import main\n"
        "assert main(['models', 'list']) == 0\n"
        "assert main(['models', 'info', 'resnt20']) == 1\n"
        "assert main(['models', 'info', 'resnet20(widht=3)']) == 1\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Did you mean 'resnet20'?" in finished.stderr
    assert "Did you mean 'width'?" in finished.stderr


def test_info_tells_costs_and_landmarks(capfd):
    assert models.run(ModelsConfig(image_size=16, classes=3, channels=1), "info", "resnet20(width=4)") == 0
    text = capfd.readouterr().out
    assert text.startswith("resnet20(width=4) at 16 x 16 x 1, 3 classes\n")
    # Kernels: 36 of the stem, 6 x 144, 288 + 5 x 576, 1152 + 5 x 2304, head 48 + 3; gamma and beta of 172 channels.
    assert "of them trained         17,135" in text
    assert "stage3    4 x 4 x 16" in text


def test_info_without_a_model_asks_for_one():
    with pytest.raises(UserError, match="Which model"):
        models.information(ModelsConfig(), "")
