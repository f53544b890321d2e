"""A head over kept features is the model with its body frozen, only faster."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_imgcls.training import features
from keras_imgcls.training import fit as fit_module
from keras_imgcls.training.validation import Validator
from tests.training.toy import make_config, make_feed, make_staged


def viewed(feed):
    """`feed` whose epoch e is view e, as kept features see it."""

    def batches(epoch, first_step):
        images, labels, ids = (np.concatenate(p) for p in zip(*feed.view(epoch).as_numpy_iterator(), strict=True))
        rows = feed.order(epoch)[first_step * 8 :]
        return tf_dataset((images[rows], labels[rows], ids[rows]))

    return dataclasses.replace(feed, batches=batches)


def tf_dataset(parts):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(parts).batch(8, drop_remainder=True)


def trained(views, feed, **changes):
    keras.utils.set_random_seed(0)
    model = make_staged()
    config = make_config(epochs=3, learning_rate=0.5, freeze="features", feature_views=views, **changes)
    validate = Validator(model, feed.batches(0, 0))
    outcome = fit_module.fit(model, feed, config, validate)
    return model, outcome


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "label_smoothing": 0.1, "averaging": "ema(0.9)"}])
def test_kept_features_train_the_head_that_pictures_train(changes):
    """With as many views as epochs: weights, losses and validation are those of the whole model over the same pixels."""
    feed = viewed(make_feed())
    kept, by_features = trained(3, feed, **changes)
    whole, by_images = trained(0, feed, **changes)
    for one, other in zip(kept.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    for one, other in zip(by_features.history, by_images.history, strict=True):
        for name in ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert one[name] == pytest.approx(other[name], abs=1e-4), name


def test_views_take_turns():
    feed, model = make_feed(), make_staged()
    kept = features.Features(model, feed, 2, dict).feed()
    rows = [next(iter(kept.batches(epoch, 0)))[0].numpy() for epoch in range(4)]
    images = [np.concatenate([batch[0] for batch in feed.view(number).as_numpy_iterator()]) for number in (0, 1)]
    pooled = keras.Model(model.input, model.get_layer("pool").output)
    for epoch, got in enumerate(rows):
        wanted = pooled(images[epoch % 2][feed.order(epoch)[:8]].astype(np.float32))
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_the_rest_of_an_epoch_is_that_of_the_whole_one():
    kept = features.Features(make_staged(), make_feed(), 1, dict).feed()
    whole, rest = (list(kept.batches(2, first).as_numpy_iterator()) for first in (0, 5))
    assert len(whole) == 8 and len(rest) == 3
    for one, other in zip(whole[5:], rest, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_only_what_fits_is_kept(monkeypatch, capsys):
    """A view of 64 images of 6 float32 numbers is 1,536 bytes."""
    model, feed = make_staged(), make_feed()
    monkeypatch.setattr(features, "available_memory", lambda: 4 * 4000)
    assert features.views_that_fit(model, feed, 1, False) == 1
    assert capsys.readouterr().out == ""
    assert features.views_that_fit(model, feed, 8, False) == 2
    assert "too large for --feature_views=8: 2 views of each are kept." in capsys.readouterr().out
    assert features.views_that_fit(model, feed, 8, True) == 8  # a rule, not this machine's memory
    monkeypatch.setattr(features, "available_memory", lambda: 4000)
    assert features.views_that_fit(model, feed, 8, False) == 0
    assert "they are computed anew in each epoch." in capsys.readouterr().out
    assert features.views_that_fit(model, dataclasses.replace(feed, view=None), 8, False) == 0
