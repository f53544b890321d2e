"""`bin/models`: names at once, costs with the figures of `describe`."""

import re
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
    assert models.run(ModelsConfig(image_size=16, num_classes=3, channels=1), "info", "resnet20(width=4)") == 0
    text = capfd.readouterr().out
    assert text.startswith("resnet20(width=4) at 16 x 16 x 1, 3 classes\n")
    # Kernels: 36 of the stem, 6 x 144, 288 + 5 x 576, 1152 + 5 x 2304, head 48 + 3; gamma and beta of 172 channels.
    assert "of them trained         17,135" in text
    assert "multiply-adds (MACs)    635,952 " in text and "FLOPs                   1,271,904 " in text
    rows = [line.split() for line in text.splitlines()]
    assert ["stem_conv", "Conv2D", "16", "x", "16", "x", "4", "36", "9,216"] in rows
    assert ["logits", "Dense", "3", "51", "48"] in rows


def test_info_without_a_model_asks_for_one():
    with pytest.raises(UserError, match="Which model"):
        models.information(ModelsConfig(), "")


def test_benchmark_times_every_model_in_training_and_inference(capfd, monkeypatch):
    monkeypatch.setattr("keras_imgcls.inference.speed.TURN", 0.001)
    names = "plain_cnn(width=2), resnet20(width=1)"
    config = ModelsConfig(image_size=8, channels=1, batch_size=4, rounds=3)
    assert models.run(config, "benchmark", names) == 0
    text = capfd.readouterr().out
    assert text.startswith("8 x 8 x 1, batches of 4, 10 classes; median and range of 3 rounds\n")
    for name in ("plain_cnn(width=2)", "resnet20(width=1)"):
        for task in ("training, float32", "inference", "inference, one image"):
            assert re.search(rf"^{re.escape(name)} +{task}  +[\d,.]+ +[\d,.]+ to [\d,.]+$", text, re.MULTILINE)


def test_benchmark_checks_every_name_first():
    with pytest.raises(UserError, match="Which models"):
        models.benchmark(ModelsConfig(), "")
    with pytest.raises(UserError, match=r"Unknown model 'resnt20'\. Did you mean 'resnet20'\?"):
        models.benchmark(ModelsConfig(), "plain_cnn,resnt20")
