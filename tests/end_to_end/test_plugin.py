"""A module of the user's own, beside nothing but their flags, adds models, augmentations, datasets and losses."""

import json

PLUGIN = '''
import keras
import numpy as np
import keras_imgcls


@keras_imgcls.register_model
def two_layers(x, width=8):
    """Two convolutions."""
    x = keras.layers.Conv2D(width, 3, activation="relu", name="stage1")(x)
    return keras.layers.Conv2D(2 * width, 3, activation="relu", name="stage2")(x)


@keras_imgcls.register_augmentation
def darker(images, draws, most=20):
    """Each image darker by up to `most` grey levels."""
    import tensorflow as tf

    levels = tf.cast(tf.cast(images, tf.float32) - most * draws.uniform(1)[:, :, None, None], tf.int32)
    return tf.cast(tf.maximum(levels, 0), tf.uint8)


@keras_imgcls.register_loss
def squared(labels, logits):
    """Squared error of the probabilities (Brier)."""
    return keras.ops.sum((labels - keras.ops.softmax(logits)) ** 2, axis=-1)


@keras_imgcls.register_dataset
def stripes(options, seed):
    """Horizontal and vertical stripes."""
    from keras_imgcls.data.manifest import Manifest, one_hot
    from keras_imgcls.data.samples import Samples

    draw, classes = np.random.default_rng(0), np.arange(200) % 2
    pattern = np.tile([0, 200], 6)
    images = np.stack([np.tile(pattern, (12, 1)) if c else np.tile(pattern[:, None], (1, 12)) for c in classes])
    images = (images + draw.integers(0, 50, images.shape))[..., None].astype(np.uint8)
    sources = np.array([f"stripes[{i:03}]" for i in range(200)])
    return Samples("stripes", Manifest(sources, one_hot(classes, 2), np.array(["train"] * 200), ("across", "along")), images)
'''


def test_everything_that_registers_from_a_plugin(command, tmp_path):
    (tmp_path / "my_plugin.py").write_text(PLUGIN)
    finished = command(
        "train", "--plugin=my_plugin", "--dataset=stripes", "--model=two_layers(width=4)", "--augment=darker(most=10)",
        "--loss=squared", "--optimizer=adamw", "--learning_rate=0.01", "--epochs=4", "--run_dir=run",
        "--mixed_precision=float32", cwd=tmp_path,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.9
    assert "--plugin=my_plugin" in (tmp_path / "run" / "config.flags").read_text()
    again = command("evaluate", "--run_dir=run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    misspelt = command("train", "--plugin=my_plugin", "--dataset=stripe", cwd=tmp_path)
    assert "Unknown dataset 'stripe'. Did you mean 'stripes'?" in misspelt.stderr
