"""What every registered model owes: tested by name, so that a new one needs no new test."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_imgcls.core.registry import MODELS
from keras_imgcls.models import classifier

# Narrow variants, for speed only: the graphs are the same. A name with a row here goes through everything; the others are
# one of these with other numbers: they are built and counted, behind the slow marker.
NARROW = {
    "alexnet": "alexnet(width=0.1, dense=32)",
    "convnext_tiny": "convnext_tiny(width=8, depths=(1, 1, 2, 1))",
    "densenet_bc_100": "densenet_bc_100(growth=4, depths=(2, 2, 2))",
    "efficientnet_b0": "efficientnet_b0(width=0.1, depth=0.3)",
    "efficientnet_v2_s": "efficientnet_v2_s(width=0.1, depth=0.12)",
    "inception_v1": "inception_v1(width=0.15)",
    "inception_v3": "inception_v3(width=0.1)",
    "mobilenet_v2": "mobilenet_v2(width=0.1, depth=0.3)",
    "mobilenet_v3_small": "mobilenet_v3_small(width=0.1)",
    "plain_cnn": "plain_cnn(width=4)",
    **{f"resnet{depth}": f"resnet{depth}(width=4)" for depth in (20, 44, 56, 110)},
    "resnet32": "resnet32(width=4, version=v2)",  # v1 is resnet20's
    "resnet50": "resnet50(width=4, depths=(1, 2, 1, 1))",
    "speednet93": "speednet93(widths=(8, 16, 12))",
    "speednet94": "speednet94(widths=(8, 16, 12))",
    "vgg11_bn": "vgg11_bn(width=4, dense=32)",
    "wide_resnet28_10": "wide_resnet28_10(width=4, depth=1)",
}
NAMES = sorted(NARROW)
VARIANTS = [name for name in MODELS.names() if name not in NARROW]

# 44 layers or more take 4 to 25 s a test, and they are resnet20 three to nine times over.
DEEP = {"resnet44", "resnet56", "resnet110"}

# Trained weights at 32 px, RGB, 10 classes, from the reference implementations that docstrings name.
PUBLISHED = {
    "densenet_bc_100": 769_162,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "wide_resnet28_10": 36_479_194,
}

# The same at 224 px (or as said), RGB, 1000 classes.
IMAGENET = {
    "alexnet": 60_965_224,
    "alexnet_one_tower": 61_100_840,
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
    "efficientnet_v2_s": 21_458_488,
    "inception_v1": 6_998_552,
    "inception_v1_bn": 6_624_904,
    "inception_v3": 23_817_352,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "wide_resnet50_2": 68_883_240,
}
IMAGENET_SIZES = {"inception_v3": 299}

LOADER = """
import json, sys
sys.modules["keras_imgcls"] = None  # importing it fails
import keras, numpy as np
results = {}
for path in sys.argv[2:]:
    model = keras.models.load_model(path + "/model.keras")
    logits = model(np.load(path + "/images.npy"))
    np.save(path + "/logits.npy", keras.ops.convert_to_numpy(logits))
    results[path] = [variable.path for variable in model.trainable_variables]
json.dump(results, open(sys.argv[1], "w"))
"""


def images(shape, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("float32")


def build(name, shape=(32, 32, 3)):
    keras.utils.set_random_seed(0)
    return classifier.build(NARROW.get(name, name), shape, 10)


@pytest.fixture(scope="module")
def models():
    """Models in their narrow form at 32 px, each built once."""

    class Built(dict):
        def __missing__(self, name):
            return self.setdefault(name, build(name))

    return Built()


each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in DEEP else ()) for name in NAMES]
)


@each
def test_it_builds_at_three_sizes_with_finite_logits(name):
    smallest = MODELS.traits(name).get("smallest", 1)
    for shape in ((smallest, smallest, 1), (32, 32, 3), (45, 38, 3)):
        logits = keras.ops.convert_to_numpy(build(name, shape)(images(shape)))
        assert logits.shape == (2, 10)
        assert np.isfinite(logits).all()


@each
def test_every_trainable_variable_gets_a_gradient(name, models):
    model = models[name]
    with tf.GradientTape() as tape:
        logits = model(images((32, 32, 3), 8), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(8), logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all() and np.any(gradient != 0), variable.path


@each
def test_layers_are_named_after_their_place(name, models):
    names = [layer.name for layer in models[name].layers]
    assert len(set(names)) == len(names)
    place = re.compile(
        r"(image|scaling|features|pool|logit_scale|logits|stem|stage\d+)|(stem|stage\d+|features)_[a-z0-9_]+"
    )
    assert [layer for layer in names if not place.fullmatch(layer)] == []


@each
def test_landmarks_are_there_in_order_and_maps_never_grow(name, models):
    landmarks = classifier.describe(models[name]).landmarks
    stages = [f"stage{number}" for number in range(1, 1 + sum(landmark.startswith("stage") for landmark in landmarks))]
    pool = ["pool"] if len(landmarks["features"]) == 3 else []
    assert stages
    assert list(landmarks) == ["image", "stem", *stages, "features", *pool, "logits"]
    heights = [landmarks[landmark][0] for landmark in ("image", "stem", *stages)]
    assert heights == sorted(heights, reverse=True)


def check_parameters(name, size, classes, published):
    """Trained weights against the published number and the claim in the first line of the docstring."""
    count = classifier.describe(classifier.build(name, (size, size, 3), classes)).trainable_parameters
    assert count == published.get(name, count)
    claimed = re.search(r"\b(\d+(?:\.(\d+))?) M parameters", MODELS.summary(name))
    assert claimed, f"the first line of {name}'s docstring says how many parameters it has: 0.27 M parameters"
    assert f"{count / 1e6:.{len(claimed[2] or '')}f}" == claimed[1]


@pytest.mark.parametrize("name", [name for name in MODELS.names() if name not in IMAGENET])
def test_its_parameters_are_those_that_it_claims(name):
    check_parameters(name, 32, 10, PUBLISHED)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(IMAGENET))
def test_its_parameters_for_imagenet_are_those_that_it_claims(name):
    check_parameters(name, IMAGENET_SIZES.get(name, 224), 1000, IMAGENET)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_the_other_variants_build_at_32_pixels_with_finite_logits(name):
    logits = keras.ops.convert_to_numpy(classifier.build(name, (32, 32, 3), 10)(images((32, 32, 3))))
    assert logits.shape == (2, 10)
    assert np.isfinite(logits).all()


def test_one_of_each_family_goes_through_everything():
    tested = {MODELS.get(name).__module__ for name in NARROW}
    assert {MODELS.get(name).__module__ for name in MODELS.names()} == tested


@pytest.fixture(scope="module")
def reloaded(models, tmp_path_factory):
    """Folder and trainable variables of each model after Keras alone, in a process of its own, has loaded its file."""
    folder = tmp_path_factory.mktemp("keras_alone")
    for name, model in models.items():
        (folder / name).mkdir()
        model.save(folder / name / "model.keras")
        np.save(folder / name / "images.npy", images((32, 32, 3)))
    report, paths = folder / "report.json", {name: str(folder / name) for name in models}
    command = [sys.executable, "-c", LOADER, str(report), *paths.values()]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    trainable = json.loads(report.read_text())
    return {name: (folder / name, trainable[path]) for name, path in paths.items()}


@each
def test_keras_alone_reads_it_back(name, models, reloaded):
    folder, trainable = reloaded[name]
    expected = keras.ops.convert_to_numpy(models[name](images((32, 32, 3))))
    np.testing.assert_allclose(np.load(folder / "logits.npy"), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert trainable == [variable.path for variable in models[name].trainable_variables]


@each
def test_it_converts_to_tflite_builtins_with_the_same_logits(name, models):
    converter = tf.lite.TFLiteConverter.from_keras_model(models[name])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    pixels = images((32, 32, 3))
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], pixels)
    interpreter.invoke()
    expected = keras.ops.convert_to_numpy(models[name](pixels))
    difference = np.abs(interpreter.get_tensor(result["index"]) - expected).max()
    assert difference <= 1e-4 * np.abs(expected).max()


@each
def test_it_trains_a_step_in_the_accelerated_view(name):
    acceleration = pytest.importorskip("keras_imgcls.training.acceleration")
    model, pixels = build(name), images((32, 32, 3), 8)
    before = [np.array(weight) for weight in model.get_weights()]
    view = acceleration.accelerate(model, "float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Adam, so that gradients behind a scale of 1e-6 (ConvNeXt) move a weight too.
    view.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    assert np.isfinite(view.train_on_batch(pixels, np.arange(8)))
    trained = {id(variable) for variable in model.trainable_variables}
    for variable, old in zip(model.weights, before, strict=True):
        if id(variable) in trained:
            assert np.any(keras.ops.convert_to_numpy(variable) != old), variable.path
    expected = keras.ops.convert_to_numpy(model(pixels))
    seen = keras.ops.convert_to_numpy(view(pixels, training=False))
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
