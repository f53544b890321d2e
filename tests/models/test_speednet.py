"""The speed-run network's peculiarities: whitening, identity kernels, what is frozen, and its head."""

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from keras_imgcls.models import classifier

SPEC = "speednet94(widths=(30, 16, 16))"


def smooth_images(count=40, size=32, channels=3):
    """Noise that neighbouring pixels and channels share, as in photos: uint8."""
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(count, size, size, channels)) + 2 * draw.normal(size=(count, size, size, 1))
    for axis in (1, 2):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return np.clip(110 + 6 * noise, 0, 255).astype(np.uint8)


def built(spec=SPEC, size=32, channels=3, scaling="symmetric"):
    keras.utils.set_random_seed(0)
    return classifier.build(spec, (size, size, channels), 10, scaling)


def outputs(model, images, *names):
    view = keras.Model(model.input, [model.get_layer(name).output for name in names])
    values = keras.tree.flatten(view(images.astype("float32")))
    return [keras.ops.convert_to_numpy(value) for value in values]


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_have_unit_variance_and_no_correlation(channels):
    images, model = smooth_images(channels=channels), built(channels=channels)
    classifier.initialize(model, SPEC, images)
    (whitened,) = outputs(model, images, "stem_whitening")
    filters = whitened.shape[-1] // 2
    assert filters == 4 * channels
    np.testing.assert_array_equal(whitened[..., :filters], -whitened[..., filters:])
    flat = whitened[..., :filters].reshape(-1, filters).astype(np.float64)
    moments = flat.T @ flat / len(flat)
    np.testing.assert_allclose(moments, np.diag(np.diag(moments)), atol=1e-3)
    # Each variance is e / (e + 5e-4 mean), where e is the eigenvalue; computed here from the patches themselves.
    patches = sliding_window_view(images / 127.5 - 1, (2, 2), axis=(1, 2)).reshape(-1, filters)
    eigenvalues = np.linalg.eigvalsh(patches.T @ patches / len(patches))[::-1]
    np.testing.assert_allclose(np.diag(moments), eigenvalues / (eigenvalues + 5e-4 * eigenvalues.mean()), atol=2e-3)


def test_whitening_sees_through_the_scaling_of_pixels():
    images = smooth_images()
    seen = []
    for deviation in (127.5, 31.0):
        model = built(scaling=([127.5] * 3, [deviation] * 3))
        classifier.initialize(model, SPEC, images)
        patches = outputs(model, images, "stem_whitening")[0].reshape(-1, 24)[::50]
        seen.append(patches @ patches.T)  # of two eigenvectors whose values are near, any turn is as good
    np.testing.assert_allclose(*seen, atol=2e-3 * np.abs(seen[0]).max())


def test_whitening_looks_at_5000_images_in_any_number_of_bites():
    few, model = smooth_images(), built()
    many = np.concatenate([np.tile(few, (125, 1, 1, 1)), np.zeros((100, 32, 32, 3), np.uint8)])
    seen = []
    for images in (few, many):
        classifier.initialize(model, SPEC, images)
        kernel = model.get_layer("stem_whitening").get_weights()[0].reshape(12, -1)
        seen.append(kernel @ kernel.T)  # of two eigenvectors whose values are near, any turn is as good
    np.testing.assert_allclose(*seen, rtol=1e-2, atol=1e-3 * np.abs(seen[0]).max())


def test_only_the_bias_of_the_stem_is_trained():
    model = built()
    stem = [variable.path for variable in model.trainable_variables if variable.path.startswith("stem")]
    assert stem == ["stem_bias/kernel"]
    bias = np.arange(24.0)
    before, _ = outputs(model, smooth_images(2), "stem_add", "stem")
    model.get_layer("stem_bias").kernel.assign(bias.reshape(1, 1, 1, 24))
    after, _ = outputs(model, smooth_images(2), "stem_add", "stem")
    np.testing.assert_allclose(after - before, np.broadcast_to(bias, after.shape), atol=1e-4)


def test_without_training_images_the_stem_loses_nothing():
    kernel = built().get_layer("stem_whitening").get_weights()[0].reshape(12, 24)
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(12), atol=1e-5)


def test_convolutions_begin_as_the_identity_as_far_as_channels_go():
    model, images = built(), smooth_images(2)
    stem, wider, pooled, narrower = outputs(model, images, "stem", "stage1_conv1", "stage1", "stage2_conv1")
    np.testing.assert_allclose(wider[..., :24], stem, atol=1e-5)
    assert np.abs(wider[..., 24:]).min(axis=(0, 1, 2)).max() < np.abs(wider[..., 24:]).max()
    np.testing.assert_allclose(narrower, pooled[..., :16], atol=1e-5)


def test_scales_of_the_normalisations_are_fixed():
    norms = [layer for layer in built().layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 6
    assert all(norm.gamma is None and norm.beta is not None and norm.momentum == 0.6 for norm in norms)


def test_logits_are_a_ninth_of_a_head_without_bias_over_the_3x3_maximum():
    model, images = built(), smooth_images(3)
    features, logits = outputs(model, images, "features", "logits")
    assert features.shape[1:3] == (3, 3)
    (kernel,) = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(logits, features.max(axis=(1, 2)) @ kernel / 9, rtol=1e-4, atol=1e-6)


def test_widths_are_those_of_the_two_recipes():
    """airbench's README: 1.97 M at 64/256/256; counted by hand, frozen kernel left out."""
    for name, (first, second, third) in {"speednet94": (64, 256, 256), "speednet93": (64, 128, 128)}.items():
        pairs = [(24, first), (first, first), (first, second), (second, second), (second, third), (third, third)]
        by_hand = 24 + sum(9 * a * b + b for a, b in pairs) + 10 * third
        assert classifier.describe(built(name)).trainable_parameters == by_hand
