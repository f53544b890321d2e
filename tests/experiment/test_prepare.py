import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.experiment import prepare
from keras_imgcls.experiment.train import evaluation_batch
from keras_imgcls.models import classifier, pretrained
from keras_imgcls.training.validation import Validator
from tests.inference.tiny import make_run


@pytest.fixture(scope="module")
def ready():
    config = TrainConfig(
        dataset="digits",
        model="plain_cnn(width=4)",
        batch_size=64,
        mixed_precision="float32",
        augment="pad_crop(1)",
        seed=3,
    )
    return prepare.prepare(config)


def stream(ready, epoch, first_step=0):
    return [tuple(part.numpy() for part in batch) for batch in ready.feed.batches(epoch, first_step)]


def test_nothing_is_left_on_auto(ready):
    values = (ready.config.image_size, ready.config.channels, ready.config.augment_on, ready.config.xla)
    assert values == (8, 1, "host", "off")
    assert ready.config.cache == "ram"
    assert ready.config.steps_per_execution >= 1


@pytest.mark.parametrize(
    ("images", "batch_size", "learning_rate"),
    [(5, 5, 0.1 * 5 / 128), (134, 8, 0.1 / 16), (1294, 64, 0.05), (45000, 128, 0.1)],
)
def test_steps_fit_the_number_of_images(images, batch_size, learning_rate):
    settled = prepare.settle_steps(TrainConfig(), images)
    assert (settled.batch_size, settled.learning_rate) == (batch_size, pytest.approx(learning_rate))
    kept = prepare.settle_steps(TrainConfig(batch_size=32, learning_rate=0.3, optimizer="adamw"), 45000)
    assert (kept.batch_size, kept.learning_rate) == (32, 0.3)
    assert prepare.settle_steps(TrainConfig(optimizer="adamw"), 45000).learning_rate == 0.001


def test_an_epoch_from_any_step_is_the_rest_of_the_whole_epoch(ready):
    """The same ids and the same pixels: what a resume in mid-epoch rests on."""
    whole, rest = stream(ready, 1), stream(ready, 1, first_step=5)
    assert len(whole) == ready.feed.steps
    assert len(rest) == ready.feed.steps - 5
    for one, other in zip(whole[5:], rest, strict=True):
        for part, same in zip(one, other, strict=True):
            assert np.array_equal(part, same)


def test_no_sample_comes_twice_and_epochs_differ(ready):
    ids = [np.concatenate([batch[2] for batch in stream(ready, epoch)]) for epoch in (0, 1)]
    for epoch_ids in ids:
        assert len(set(epoch_ids)) == len(epoch_ids) == ready.feed.images
        assert set(epoch_ids) <= set(ready.samples.manifest.ids("train"))
    assert not np.array_equal(*ids)


def test_a_sample_looks_the_same_in_any_batch(ready):
    smaller = dataclasses.replace(ready.config, batch_size=7)
    from keras_imgcls.augment import sequence

    feed = prepare.training_feed(smaller, ready.samples, ready.store, sequence.build(smaller.augment, smaller.seed))
    small = {
        int(i): image
        for images, _, ids in feed.batches(0, 0).as_numpy_iterator()
        for image, i in zip(images, ids, strict=True)
    }
    large = {int(i): image for images, _, ids in stream(ready, 0) for image, i in zip(images, ids, strict=True)}
    shared = small.keys() & large.keys()
    assert len(shared) > 1000
    assert all(np.array_equal(small[i], large[i]) for i in shared)


def test_host_and_device_augmentation_give_the_same_pixels(ready):
    """The step of a learner on an accelerator calls the same function on the plain batch."""
    from keras_imgcls.augment import sequence

    augment = sequence.build(ready.config.augment, ready.config.seed)
    plain = prepare.training_feed(ready.config, ready.samples, ready.store, None)
    on_device = tf.function(augment)
    for (images, labels, ids), expected in zip(plain.batches(2, 0), stream(ready, 2), strict=True):
        pixels, _ = on_device(images, labels, ids, tf.constant(2, tf.int64))
        assert np.array_equal(pixels.numpy(), expected[0])


def test_mixing_comes_last_and_ends_with_its_epoch(ready):
    mixed = dataclasses.replace(ready.config, mix="mixup(0.5)", mix_off_epoch=3)
    feed = prepare.training_feed(mixed, ready.samples, ready.store, prepare.augmentation(mixed))
    for epoch, expected in ((0, True), (1, True), (2, False), (3, False)):
        labels = next(iter(feed.batches(epoch, 0)))[1].numpy()
        assert np.allclose(labels.sum(axis=1), 1.0, atol=1e-5)
        assert (labels.max(axis=1) < 0.999).any() == expected
    never = dataclasses.replace(mixed, mix_off_epoch=1)
    feed = prepare.training_feed(never, ready.samples, ready.store, prepare.augmentation(never))
    assert np.array_equal(next(iter(feed.batches(0, 0)))[0].numpy(), stream(ready, 0)[0][0])


def test_balanced_weights_average_to_one_over_the_images(ready):
    weights = prepare.balanced_weights(ready.samples)
    labels = ready.samples.manifest.labels[ready.samples.manifest.ids("train")]
    assert (labels @ weights).mean() == pytest.approx(1.0, abs=1e-5)
    assert np.allclose(labels.sum(axis=0) * weights, labels.sum() / 10, rtol=1e-4)


def test_channel_statistics_are_numpys():
    images = np.random.default_rng(0).integers(0, 200, (20, 9, 7, 3), np.uint8)
    means, deviations = prepare.channel_statistics(images)
    assert np.allclose(means, images.mean(axis=(0, 1, 2))) and np.allclose(deviations, images.std(axis=(0, 1, 2)))
    assert prepare.channel_statistics(np.zeros((2, 4, 4, 1), np.uint8)) == ([0.0], [1.0])


def test_validation_is_what_keras_says(ready):
    batches = prepare.evaluation_batches(ready.samples, ready.store, "validation", 50)
    ours = Validator(ready.model, batches)()
    ids = ready.samples.manifest.ids("validation")
    logits = ready.model.predict(ready.samples.images[ids].astype(np.float32), verbose=0)
    labels = ready.samples.manifest.labels[ids]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)(labels, logits)
    assert ours["val_loss"] == pytest.approx(float(loss), rel=1e-4)
    assert ours["val_accuracy"] == pytest.approx((logits.argmax(1) == labels.argmax(1)).mean())


def test_no_validation_split_gives_no_numbers():
    assert Validator(None, None)() == {}


@pytest.mark.parametrize(
    ("augment", "mirror_images", "expected", "said"),
    [
        ("standard", "auto", "pad_crop(1)", True),
        ("standard", "on", "pad_crop(1)|flip", False),
        ("standard", "off", "pad_crop(1)", False),
        ("none", "auto", "none", False),
        ("flip", "auto", "flip", False),
    ],
)
def test_digits_are_not_mirrored_and_that_is_said(ready, capsys, augment, mirror_images, expected, said):
    config = dataclasses.replace(ready.config, augment=augment, mirror_images=mirror_images)
    assert prepare.settle_data(config, ready.samples).augment == expected
    assert ("No mirror images" in "".join(capsys.readouterr())) is said


def test_large_images_are_evaluated_in_smaller_batches():
    shapes = [(side, side, 3) for side in (32, 64, 224, 4000)]
    assert [evaluation_batch(shape) for shape in shapes] == [500, 500, 41, 1]


def test_validation_counts_images_and_classes():
    """Balanced accuracy is the mean of the classes' recalls; a class without images has none."""
    image = keras.Input((1, 1, 3))
    model = keras.Model(image, keras.layers.Flatten()(image))  # the logits are the pixels
    right = np.array([0, 0, 0, 1])
    images = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]][:, None, None]
    batches = tf.data.Dataset.from_tensor_slices((images, np.eye(3, dtype=np.float32)[right])).batch(3)
    found = Validator(model, batches)()
    assert found["val_accuracy"] == 0.75
    assert found["val_balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.fixture
def earlier(ready, tmp_path):
    """A run over digits whose weights are not those of any beginning."""
    model = classifier.build("plain_cnn(width=4)", (8, 8, 1), 10, ([50.0], [60.0]))
    for variable in model.weights:
        variable.assign(variable + 1)
    run = make_run(tmp_path / "run", model, ready.samples.manifest.class_names)
    run.flags.write_text(run.flags.read_text().replace("--model=resnet20", "--model=plain_cnn(width=4)"))
    return run, model


def test_a_run_begins_with_the_weights_and_the_scaling_of_another(ready, earlier, monkeypatch):
    run, model = earlier
    monkeypatch.chdir(run.path.parent)
    config = dataclasses.replace(ready.config, init_from="run", image_size=0)
    again = prepare.prepare(config)
    assert again.first_weights == "weights from the run run, its head too"
    assert again.config.init_from == str(run.path)  # so that its flags work from any folder
    for ours, theirs in zip(again.model.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    pixels = np.full((1, 8, 8, 1), 110.0)
    np.testing.assert_allclose(again.model.get_layer("scaling")(pixels), 1.0, atol=1e-6)
    assert ready.first_weights == "random weights"


def test_first_weights_bring_their_channels(ready, tmp_path):
    path = tmp_path / "colour.keras"
    classifier.build("plain_cnn(width=4)", (16, 16, 3), 2).save(path)
    asked = dataclasses.replace(ready.config, pretrained=str(path), image_size=0, channels=0)
    settled = prepare.prepare(asked)
    assert settled.model.input_shape == (None, 8, 8, 3)  # of class folders the size would be 16
    assert settled.first_weights == f"weights from {path}, with a new head for 10 classes"
    with pytest.raises(UserError, match="take images of 3 channels; received 1: give --channels=3"):
        prepare.prepare(dataclasses.replace(asked, channels=1))


def test_class_folders_take_the_size_of_the_first_weights(ready):
    origin = pretrained.origin("efficientnet_lite1", "imagenet")
    for config, expected in (
        (TrainConfig(data_dir="photos"), 240),
        (TrainConfig(data_dir="photos", image_size=96), 96),
        (TrainConfig(dataset="tfds:flowers"), 0),
    ):
        settled = prepare.settle_origin(config, origin)
        assert (settled.image_size, settled.channels) == (expected, 3)
        assert prepare.settle_origin(config, None) is config


def test_a_model_made_in_python_keeps_its_weights(ready):
    with pytest.raises(UserError, match="are for models by name; a model made in Python has its weights"):
        prepare.prepare(dataclasses.replace(ready.config, pretrained="imagenet"), ready.model)


def test_views_are_the_images_then_augmented_as_in_an_epoch(ready):
    """Whatever batch they are in: view v shows what epoch v shows."""
    ids = ready.samples.manifest.ids("train")
    views = [
        [np.concatenate(parts) for parts in zip(*ready.feed.view(v).as_numpy_iterator(), strict=True)] for v in (0, 2)
    ]
    for _, labels, view_ids in views:
        assert np.array_equal(view_ids, ids)
        assert np.array_equal(labels, ready.samples.manifest.labels[ids])
    assert np.array_equal(views[0][0], ready.samples.images[ids])
    images, _, batch_ids = stream(ready, 2)[0]
    rows = ready.feed.order(2)[: len(batch_ids)]
    assert np.array_equal(ids[rows], batch_ids)
    assert np.array_equal(views[1][0][rows], images)
    assert not np.array_equal(views[0][0][rows], images)


def test_image_sizes_grow_by_epoch(ready):
    config = dataclasses.replace(ready.config, image_size_schedule="4@1|6@3")
    feed = prepare.training_feed(config, ready.samples, ready.store, prepare.augmentation(config))
    assert [next(iter(feed.batches(epoch, 0)))[0].shape[1] for epoch in range(4)] == [4, 4, 6, 6]
    assert next(iter(feed.view(1)))[0].shape[1] == 8, "features are kept at the size that is validated"
    with pytest.raises(UserError, match="is for images below --image_size=8; received 9"):
        prepare.settle_data(dataclasses.replace(config, image_size_schedule="9@1"), ready.samples)
