"""What every augmentation has to keep, over the whole registry."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment import sequence
from keras_imgcls.core.registry import AUGMENTATIONS

SHAPES = ((20, 24, 24, 3), (20, 28, 21, 1), (0, 24, 24, 3))


@pytest.fixture(params=AUGMENTATIONS.names())
def name(request):
    return request.param


def batch(shape=SHAPES[0]):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.eye(4, dtype=np.float32)[np.arange(shape[0]) % 4]
    return tf.constant(images), tf.constant(labels), tf.range(shape[0], dtype=tf.int64) + 2**33


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_and_type_stay(name, shape):
    inputs = batch(shape)
    images, labels = sequence.build(name, 0)(*inputs, 0)
    assert images.dtype == tf.uint8 and images.shape == shape
    assert labels.dtype == tf.float32 and np.array_equal(labels, inputs[1])


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_shapes_are_known_in_a_graph(name, shape):
    spec = tf.TensorSpec([None, *shape[1:]], tf.uint8)
    augment = tf.function(sequence.build(name, 0))
    traced = augment.get_concrete_function(spec, tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64), 0)
    assert traced.structured_outputs[0].shape.as_list() == [None, *shape[1:]]


def test_eager_graph_xla_and_host_agree(name):
    augment = sequence.build(name, 7)
    images, labels, ids = batch()
    in_steps = {compiled: tf.function(augment, jit_compile=compiled) for compiled in (False, True)}
    for epoch in (0, 5):
        expected = augment(images, labels, ids, epoch)[0].numpy()
        assert np.array_equal(augment(images, labels, ids, epoch)[0], expected)
        for compiled, in_step in in_steps.items():
            result = in_step(images, labels, ids, tf.constant(epoch, tf.int64))[0].numpy()
            # Another compiler rounds sums of functions such as exp differently: a level, where the operation says so.
            allowed = int(compiled and AUGMENTATIONS.traits(name).get("rounds", False))
            assert np.abs(result.astype(int) - expected).max() <= allowed
        on_host = tf.data.Dataset.from_tensor_slices((images, labels, ids)).batch(6)
        on_host = on_host.map(lambda *parts, epoch=epoch: augment(*parts, epoch)[0], num_parallel_calls=2)
        assert np.array_equal(np.concatenate(list(on_host.as_numpy_iterator())), expected)


def test_compiled_pixels_are_the_same(name):
    if AUGMENTATIONS.traits(name).get("rounds"):
        pytest.skip(f"{name} is never compiled")
    images, labels, ids = batch((5, 48, 40, 3))
    expected, (compiled, same) = (sequence.build(name, 7, c)(images, labels, ids, 1) for c in (False, True))
    assert np.array_equal(compiled, expected[0]) and np.array_equal(same, labels)


def test_seeds_and_ids_decide(name):
    images, labels, ids = batch()
    results = [
        sequence.build(name, seed)(images, labels, ids + shift, 0)[0].numpy()
        for seed, shift in ((0, 0), (1, 0), (0, 9))
    ]
    assert not np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_nothing_happens_at_zero_magnitude(name):
    identity = AUGMENTATIONS.traits(name).get("identity")
    if identity is None:
        pytest.skip(f"{name} has no magnitude")
    arguments = ", ".join(f"{argument}={value!r}" for argument, value in identity.items())
    images, labels, ids = batch()
    assert np.array_equal(sequence.build(f"{name}({arguments})", 0)(images, labels, ids, 0)[0], images)


def test_it_says_what_it_does(name):
    assert AUGMENTATIONS.summary(name)
