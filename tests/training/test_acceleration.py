"""The training view computes what the plain model does, over the plain model's variables, and leaves no trace in it."""

import os
import random
import subprocess
import sys
from textwrap import dedent

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_imgcls.core.errors import UserError
from keras_imgcls.models import classifier
from keras_imgcls.training import acceleration, fast_layers
from keras_imgcls.training.acceleration import accelerate, available_precisions, choose_precision
from keras_imgcls.training.fast_layers import FusedBatchNormalization, GroupedConv2D

SHAPE = (12, 12, 3)


def network(*body, shape=SHAPE, outputs=4):
    """A classifier of `body` between a scaling and `logits`, float32, with random weights and statistics."""
    x = image = keras.Input(shape, name="image")
    for layer in (layers.Rescaling(1 / 127.5, -1.0, name="scaling"), *body):
        x = layer(x)
    x = layers.ReLU(name="last")(x)  # a mean right after a normalisation would be constant, and gradients nought
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return scrambled(keras.Model(image, layers.Dense(outputs, name="logits")(x), name="network"))


def scrambled(model, seed=1):
    """`model` with weights that no initializer gives: norms that are not at rest, variances above 0."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if "float" in variable.dtype:
            noise = generator.normal(0, 0.2, variable.shape)
            at_rest = 1.0 if variable.name in ("gamma", "moving_variance") else 0.0
            variable.assign(np.abs(at_rest + noise) if "variance" in variable.name else at_rest + noise)
    return model


def pixels(batch=16, shape=SHAPE, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (batch, *shape)).astype("float32")


def gradients(model, images, variables):
    """Gradients of a cross-entropy with a fixed class, in training mode; moves the moving statistics."""
    with tf.GradientTape() as tape:
        logits = tf.cast(model(images, training=True), tf.float32)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros(len(images), tf.int32), logits))
    return [gradient.numpy() for gradient in tape.gradient(loss, [variable.value for variable in variables])]


def state(model):
    return [variable.numpy() for variable in model.variables]


def restore(model, values):
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def identities(variables):
    return {id(variable) for variable in variables}


def assert_same_state(one, other, atol=0.0):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def assert_equal_numbers(model, images, atol=1e-5):
    """View and plain model: outputs in inference and training, gradients, moving statistics after a step."""
    view, start = accelerate(model), state(model)
    np.testing.assert_allclose(view(images, training=False), model(images, training=False), atol=atol)
    expected, expected_gradients = model(images, training=True), gradients(model, images, model.trainable_variables)
    moved = state(model)
    restore(model, start)
    np.testing.assert_allclose(view(images, training=True), expected, atol=atol)
    # The same variables, in the same order: compared one by one.
    for received, wanted in zip(gradients(view, images, model.trainable_variables), expected_gradients, strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-4, atol=atol)
    assert_same_state(state(model), moved, atol=1e-6)
    restore(model, start)
    return view


BODIES = {
    "normalization": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU()],
    "momentum": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(momentum=0.6, epsilon=0.1)],
    "no_scale": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(scale=False)],
    "no_center": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(center=False)],
    "neither": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(center=False, scale=False)],
    "depthwise": lambda: [layers.Conv2D(8, 1), layers.DepthwiseConv2D(3, strides=2), layers.BatchNormalization()],
    "separable": lambda: [layers.SeparableConv2D(8, 3, activation="silu"), layers.BatchNormalization()],
    "grouped": lambda: [layers.Conv2D(8, 1), layers.Conv2D(12, 3, 2, "same", groups=4, activation="gelu")],
    "grouped_valid": lambda: [layers.Conv2D(8, 1), layers.Conv2D(8, 3, groups=2, use_bias=False)],
    "first_axis": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(axis=1)],
    "flat": lambda: [layers.Flatten(), layers.BatchNormalization(), layers.Reshape((12, 12, 3))],
    "renorm": lambda: [layers.Conv2D(8, 3), layers.BatchNormalization(renorm=True)],
    "gelu": lambda: [layers.Conv2D(8, 3, activation="gelu"), layers.Activation("gelu")],
    "activations": lambda: [layers.Conv2D(8, 3), layers.Activation("silu"), layers.Activation("hard_silu")],
    "relu6": lambda: [layers.Conv2D(8, 3), layers.Rescaling(9), layers.ReLU(6.0), layers.ReLU(5.0)],
    "leaky_relu6": lambda: [layers.Conv2D(8, 3), layers.Rescaling(9), layers.ReLU(6.0, negative_slope=0.1)],
    "nested": lambda: [keras.Sequential([layers.Conv2D(8, 3), layers.BatchNormalization()]), layers.ReLU()],
    "wrapped": lambda: [
        layers.Reshape((1, *SHAPE)), layers.TimeDistributed(layers.Conv2D(4, 3)), layers.Reshape((10, 10, 4)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_the_view_gives_the_numbers_of_the_plain_model(body):
    model = network(*BODIES[body]())
    view = assert_equal_numbers(model, pixels())
    assert identities(view.trainable_variables) == identities(model.trainable_variables)
    assert identities(view.non_trainable_variables) == identities(model.non_trainable_variables)
    assert [layer.name for layer in view.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("body", BODIES)
def test_bfloat16_stays_near_float32(body):
    """Within 3 % of the largest logit: bfloat16 has 8 bits, 0.4 %, and some of these stack four roundings."""
    model = network(*BODIES[body]())
    view = accelerate(model, "mixed_bfloat16")
    expected = model(pixels(), training=False)
    received = view(pixels(), training=False)
    assert received.dtype == "float32"
    np.testing.assert_allclose(received, expected, atol=0.03 * np.abs(expected).max())
    assert identities(view.variables) == identities(model.variables)


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 1.001e-5])
def test_small_epsilons_are_taken_as_they_are(epsilon):
    """TensorFlow's own wrapper would raise them to 1.001e-5: a difference of 40 % where the variance is as small."""
    model = network(layers.BatchNormalization(epsilon=epsilon), shape=(4, 4, 1))
    images = 127.5 + 0.2 * np.random.default_rng(0).normal(size=(8, 4, 4, 1)).astype("float32")  # a variance of 2.5e-6
    view = assert_equal_numbers(model, images, atol=1e-3)
    assert isinstance(view.layers[2], FusedBatchNormalization)


def test_a_batch_of_one_pixel():
    assert_equal_numbers(network(layers.BatchNormalization(), shape=(1, 1, 3)), pixels(1, (1, 1, 3)))


def test_what_is_swapped_and_what_is_not():
    cases = {
        "normalization": FusedBatchNormalization,
        "first_axis": layers.BatchNormalization,
        "flat": layers.BatchNormalization,
        "renorm": layers.BatchNormalization,
    }
    for body, kind in cases.items():
        assert kind in {type(layer) for layer in accelerate(network(*BODIES[body]())).layers}, body
    synchronized = network(layers.Conv2D(4, 3), layers.BatchNormalization(synchronized=True))
    assert type(accelerate(synchronized).layers[3]) is layers.BatchNormalization
    assert type(accelerate(network(*BODIES["grouped"]())).layers[3]) is GroupedConv2D


@pytest.mark.parametrize("body", ["grouped", "grouped_valid"])
def test_groups_are_convolved_one_by_one_where_tensorflow_takes_none(body, monkeypatch):
    """On Arm, and where oneDNN is off."""
    monkeypatch.setattr(fast_layers, "native_groups", lambda: False)
    view = assert_equal_numbers(network(*BODIES[body]()), pixels())
    operations = tf.function(view).get_concrete_function(pixels()).graph.get_operations()
    convolutions = [operation for operation in operations if operation.type == "Conv2D"]
    assert len(convolutions) == 1 + view.layers[3].groups


def test_groups_train_without_onednn():
    code = """
        import keras, keras_imgcls, numpy as np
        view = keras_imgcls.accelerate(keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(6, 3, groups=2)]))
        view.compile("sgd", "mse")
        view.fit(np.ones((2, 8, 8, 4)), np.ones((2, 6, 6, 6)), verbose=0)
        """
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    finished = subprocess.run([sys.executable, "-c", dedent(code)], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_frozen_normalization_uses_its_moving_statistics():
    model = network(layers.Conv2D(8, 3), layers.BatchNormalization(name="norm"), layers.ReLU())
    model.get_layer("norm").trainable = False
    start = state(model)
    view = assert_equal_numbers(model, pixels())
    view(pixels(), training=True)
    assert_same_state(state(model), start)
    assert identities(view.trainable_variables) == identities(model.trainable_variables)


def test_training_false_inside_the_graph_means_what_it_means_to_keras():
    """`backbone(x, training=False)`: Keras 3.15 overrides it by the `training=True` of the whole; so does the view."""
    backbone = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(8, 3), layers.BatchNormalization()])
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D()(backbone(image, training=False))
    assert_equal_numbers(scrambled(keras.Model(image, layers.Dense(4)(x))), pixels() / 255)


def test_a_model_inside_the_model():
    image = keras.Input(SHAPE)
    inner = keras.Model(
        image, layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3, name="conv")(image)), name="inner"
    )
    model = network(inner, layers.Conv2D(4, 3))
    view = assert_equal_numbers(model, pixels())
    assert isinstance(view.get_layer("inner").get_layer("norm"), FusedBatchNormalization)
    mixed = accelerate(model, "mixed_bfloat16")
    assert mixed.get_layer("inner").get_layer("conv").compute_dtype == "bfloat16"


def test_a_shared_layer_stays_shared():
    image, norm = keras.Input(SHAPE), layers.BatchNormalization()
    conv = layers.Conv2D(3, 3, padding="same")
    x = layers.GlobalAveragePooling2D()(norm(conv(norm(conv(image)))))
    model = scrambled(keras.Model(image, x))
    view = assert_equal_numbers(model, pixels() / 255)
    assert len(view.layers) == len(model.layers)


def test_sequential_models():
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Conv2D(8, 3), layers.BatchNormalization(),
                              layers.GlobalAveragePooling2D(), layers.Dense(4)])  # fmt: skip
    with pytest.raises(UserError, match=r"takes a built model: call .*build"):
        accelerate(model)
    model.build((None, *SHAPE))
    assert_equal_numbers(scrambled(model), pixels())
    mixed = accelerate(model, "mixed_bfloat16")
    assert mixed(pixels()).dtype == "float32"


class Scale(layers.Layer):
    """A layer that Keras doesn't know, with state, no config and an attribute set after it was made."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self._factor = factor
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale * self._factor


def test_layers_that_keras_does_not_know():
    model = network(layers.Conv2D(8, 3), Scale(2.0), layers.BatchNormalization())
    model.layers[3]._factor = 3.0
    assert_equal_numbers(model, pixels())
    mixed = accelerate(model, "mixed_bfloat16")
    assert identities(mixed.variables) == identities(model.variables)
    expected = model(pixels(), training=False)
    np.testing.assert_allclose(mixed(pixels(), training=False), expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize(
    "make", [keras.applications.MobileNetV2, keras.applications.EfficientNetB0, keras.applications.ConvNeXtTiny]
)
def test_networks_of_keras_applications(make):
    model = make(weights=None, input_shape=(32, 32, 3), classes=5)
    view, mixed = accelerate(model), accelerate(model, "mixed_bfloat16")
    images = pixels(4, (32, 32, 3))
    np.testing.assert_allclose(view(images, training=False), model(images, training=False), atol=1e-5)
    np.testing.assert_allclose(mixed(images, training=False), model(images, training=False), atol=0.02)
    for one in (view, mixed):
        assert identities(one.variables) == identities(model.variables)


def test_dropout_shares_its_seed():
    model = network(layers.Dropout(0.5), layers.Conv2D(8, 3))
    start = state(model)
    expected = model(pixels(), training=True)
    restore(model, start)
    np.testing.assert_allclose(accelerate(model)(pixels(), training=True), expected, atol=1e-5)


def test_what_stays_in_float32():
    model = network(layers.RandomFlip(), layers.Conv2D(8, 3), layers.DepthwiseConv2D(3), layers.DepthwiseConv2D(3, 2),
                    layers.TimeDistributed(layers.Dense(3)))  # fmt: skip
    view = accelerate(model, "mixed_bfloat16")
    dtypes = {layer.name.split("_")[0]: [] for layer in view.layers}
    for layer in view.layers:
        dtypes[layer.name.split("_")[0]].append(layer.compute_dtype)
    strided = "float32" if not fast_layers.has_gpu() else "bfloat16"
    assert dtypes | {"image": None} == {
        "image": None, "scaling": ["float32"], "random": ["float32"], "conv2d": ["bfloat16"],
        "depthwise": ["bfloat16", strided], "time": ["float32"], "last": ["bfloat16"], "pool": ["bfloat16"],
        "logits": ["float32"],
    }  # fmt: skip


def test_training_the_view_trains_the_plain_model_which_loads_with_keras_alone(tmp_path):
    body = [layers.Conv2D(8, 3, activation="gelu"), layers.BatchNormalization(), layers.Dropout(0.1)]
    model = network(*body)
    start, view = state(model), accelerate(model, "mixed_bfloat16")
    view.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    view.fit(pixels(), np.arange(16) % 4, epochs=2, verbose=0)
    assert all((a != b).any() for a, b in zip(start, state(model), strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={}, compile=False)
    types = {type(layer).__module__ for layer in loaded.layers}
    assert all(name.startswith("keras.") for name in types)
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    np.testing.assert_array_equal(loaded(pixels(), training=False), model(pixels(), training=False))


def test_the_plain_model_is_left_as_it_was():
    model = network(layers.Conv2D(8, 3), layers.BatchNormalization(), layers.Dropout(0.5))
    model.compile("sgd", lambda y, z: keras.ops.mean(z))  # which Keras refuses to deserialize
    image = keras.Input(SHAPE)
    outer = keras.Model(image, model(image))
    config, nodes = model.get_config(), [len(layer._inbound_nodes) for layer in model.layers]
    for precision in acceleration.PRECISIONS:
        accelerate(model, precision)
        accelerate(outer, precision)
    assert model.get_config() == config
    assert model.compiled
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes


def test_float16_scales_its_loss():
    view = accelerate(network(layers.Conv2D(8, 3)), "mixed_float16")
    view.compile("sgd", "mse")
    assert isinstance(view.optimizer, keras.optimizers.LossScaleOptimizer)


def test_refusals():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UserError, match=r"functional or sequential Keras model.*received Subclassed"):
        accelerate(Subclassed())
    with pytest.raises(UserError, match=r"Unknown precision 'mixed_bfloat'. Did you mean 'mixed_bfloat16'"):
        accelerate(network(layers.Conv2D(8, 3)), "mixed_bfloat")


@pytest.mark.parametrize("precision", fast_layers.WORTH_COMPILING)
def test_compiled_activations(precision):
    """float32: to rounding. bfloat16: the value is the float64 one rounded to 8 bits, the slope likewise."""
    dtype = tf.bfloat16 if "bfloat16" in precision else tf.float32
    x = tf.cast(np.random.default_rng(0).normal(0, 3, (7, 501)), dtype)
    for activation in fast_layers.WORTH_COMPILING[precision]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = fast_layers.compiled(activation)(x)
        slope = tape.gradient(y, x)
        x64 = tf.cast(x, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x64)
            y64 = activation(x64)
        slope64 = tape.gradient(y64, x64)
        rounding = 2.0**-8 if dtype == tf.bfloat16 else 2.0**-20
        np.testing.assert_allclose(tf.cast(y, tf.float64), y64, rtol=rounding, atol=1e-6)
        np.testing.assert_allclose(tf.cast(slope, tf.float64), slope64, rtol=rounding, atol=1e-6)


@pytest.mark.skipif(fast_layers.has_gpu(), reason="compiled activations were measured on CPUs, and are used there")
def test_activations_are_compiled_where_that_is_worth_it():
    model = network(layers.Conv2D(8, 3, activation="gelu"), layers.Activation("silu"), layers.ReLU(), layers.ReLU(6.0))
    kept = {layer.name: getattr(layer, "activation", None) for layer in accelerate(model).layers}
    mixed = {layer.name: getattr(layer, "activation", None) for layer in accelerate(model, "mixed_bfloat16").layers}
    convolution, silu, relu, relu6 = (layer.name for layer in model.layers[2:6])
    gelu, fast_silu, fast_relu6 = map(
        fast_layers.compiled, (keras.activations.gelu, keras.activations.silu, keras.activations.relu6)
    )
    assert (kept[convolution], kept[silu]) == (gelu, keras.activations.silu)
    assert (mixed[convolution], mixed[silu], mixed[relu], mixed[relu6]) == (gelu, fast_silu, None, fast_relu6)


def test_compiled_activations_keep_static_shapes():
    activation = fast_layers.compiled(keras.activations.gelu)
    shapes = []

    @tf.function
    def trace(x):
        shapes.append(activation(x).shape)

    for shape in ((2, 3), (4, 5), (6, 7)):
        trace(tf.zeros(shape))
    assert shapes == [(2, 3), (4, 5), (6, 7)]


def test_compiled_activations_in_one_graph_with_any_batch():
    view = accelerate(network(layers.Conv2D(8, 3, activation="gelu")))
    for batch in (1, 5):
        assert view.predict(pixels(batch), verbose=0).shape == (batch, 4)


def test_precisions_by_hardware(monkeypatch):
    monkeypatch.setattr(fast_layers, "has_gpu", lambda: False)
    for has_bfloat16, expected in ((True, ["float32", "mixed_bfloat16"]), (False, ["float32"])):
        monkeypatch.setattr(acceleration, "_cpu_has_bfloat16", lambda has=has_bfloat16: has)
        assert available_precisions() == expected
    monkeypatch.setattr(fast_layers, "has_gpu", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    for capability, expected in (((7, 5), 2), ((8, 0), 3)):
        details = {"compute_capability": capability}
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu, details=details: details)
        assert len(available_precisions()) == expected


def test_choosing_a_precision_changes_nothing():
    model = network(layers.Conv2D(8, 3), layers.BatchNormalization(), layers.Dropout(0.5))
    keras.utils.set_random_seed(7)
    expected = (random.random(), np.random.random(), tf.random.uniform(()), keras.random.uniform(()))
    start = state(model)
    keras.utils.set_random_seed(7)
    chosen, speeds = choose_precision(model, (4, *SHAPE), ["float32", "mixed_bfloat16"], seconds=0)
    assert (random.random(), np.random.random(), tf.random.uniform(()), keras.random.uniform(())) == expected
    assert_same_state(state(model), start)
    assert speeds[chosen] == max(speeds.values())
    assert set(speeds) == {"float32", "mixed_bfloat16"}


@pytest.mark.parametrize(
    "name", ["resnet20", "mobilenet_v3_small", "efficientnet_lite0", "densenet_bc_100(depths=(2, 2, 2))"]
)
def test_a_view_for_any_size_is_the_model_at_its_own_and_trains_its_variables_at_others(name):
    model = classifier.build(name, (32, 32, 3), 4)
    view = accelerate(model, any_size=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(view(images), model(images), atol=1e-4)
    assert view(images[:, :24, :24]).shape == (2, 4)
    assert {id(variable) for variable in view.trainable_variables} == {
        id(variable) for variable in model.trainable_variables
    }


def test_a_model_that_knows_every_place_has_one_size():
    with pytest.raises(UserError, match="takes images of one size only: its layer features_flatten knows every place"):
        accelerate(classifier.build("vgg11(width=4, dense=8)", (32, 32, 3), 4), any_size=True)
