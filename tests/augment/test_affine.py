"""Affine geometry reads pixels as Pillow does with the same matrix, however many operations become one reading."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_imgcls.augment import affine, geometry, sequence
from keras_imgcls.augment.randomness import Draws, stream
from keras_imgcls.augment.view import UNIT, View

COUNT, HEIGHT, WIDTH = 24, 40, 31


def pictures(channels=3, count=COUNT):
    """Smooth random pictures: coarse noise, enlarged."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
    images = np.stack([np.asarray(Image.fromarray(image).resize((WIDTH, HEIGHT), Image.BICUBIC)) for image in coarse])
    return images[..., :channels]


def draws(operation=0, count=COUNT):
    return Draws(stream(5, operation), tf.range(count, dtype=tf.int64), 2)


def run(spec, images):
    ids = tf.range(len(images), dtype=tf.int64)
    return sequence.build(spec, 5)(tf.constant(images), tf.zeros([len(images), 2]), ids, 2)[0].numpy()


def pillow(image, matrix, fill, resample):
    """Pillow's own reading of one image, float arithmetic."""
    plain = Image.fromarray(image.squeeze())
    colour = fill if plain.mode == "L" else (fill,) * 3
    moved = plain.transform(plain.size, Image.AFFINE, tuple(np.ravel(matrix)), resample, fillcolor=colour)
    return np.asarray(moved).reshape(image.shape)


def matrices():
    """Turns, slants, zooms and shifts: about anything that leaves a part of the image in view."""
    generator = np.random.default_rng(1)
    turned = generator.normal(0, 0.7, (COUNT, 2, 2)) + np.eye(2)
    centre = np.array([[WIDTH / 2], [HEIGHT / 2]])
    return np.concatenate([turned, centre - turned @ centre + generator.normal(0, 6, (COUNT, 2, 1))], axis=2)


def assert_alike(ours, expected, share=0.01):
    """Within two levels (places are rounded to 1/256 pixel), but for pixels on the very edge of the source."""
    difference = np.abs(ours.astype(int) - expected).max(axis=-1)
    assert (difference > 2).mean() < share
    assert (difference > 1).mean() < 0.03


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("how", "resample"), [("bilinear", Image.BILINEAR), ("nearest", Image.NEAREST)])
def test_any_matrix_reads_as_pillow_does(channels, how, resample):
    images = pictures(channels)
    ours = View(tf.constant(images)).under(tf.constant(matrices()), 77, how).pixels().numpy()
    expected = np.stack([pillow(image, m, 77, resample) for image, m in zip(images, matrices(), strict=True)])
    if how == "bilinear":
        assert_alike(ours, expected, share=0.002)
    else:  # exact but for ties within 1/512 pixel of the next one
        assert (ours != expected).any(axis=-1).mean() < 0.01


def test_weights_are_exact():
    """Against the mean of four neighbours in float64 at the same 256ths of a pixel: equal to the last level."""
    images, matrix = pictures(), matrices()
    ours = View(tf.constant(images)).under(tf.constant(matrix), 0).pixels().numpy()
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    column, row = np.einsum("bij,jhw->ibhw", matrix, np.stack([x, y, np.ones_like(x)])) - 0.5
    row, column = (np.floor(places * UNIT + 0.5) / UNIT for places in (row, column))
    inside = (row >= -0.5) & (row < HEIGHT - 0.5) & (column >= -0.5) & (column < WIDTH - 0.5)
    row, column = np.clip(row, 0, HEIGHT - 1), np.clip(column, 0, WIDTH - 1)
    above, left = np.floor(row).astype(int), np.floor(column).astype(int)
    below, right = np.minimum(above + 1, HEIGHT - 1), np.minimum(left + 1, WIDTH - 1)
    down, across = (row - above)[..., None], (column - left)[..., None]
    batch = np.arange(COUNT)[:, None, None]
    upper = images[batch, above, left] * (1 - across) + images[batch, above, right] * across
    lower = images[batch, below, left] * (1 - across) + images[batch, below, right] * across
    expected = np.floor((upper * (1 - down) + lower * down) * inside[..., None] + 0.5).astype(np.uint8)
    assert (ours != expected).any(axis=-1).mean() < 1e-3  # places themselves within 2^-17 of a tie


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_right_angles_are_exact(degrees):
    square = pictures()[:, :30, :30]
    view = View(tf.constant(square))
    matrix = affine.about_centre(affine.rotation(tf.fill([COUNT], np.float64(degrees))), view)
    turned = view.under(matrix, 0).pixels()
    assert np.array_equal(turned, np.rot90(square, -degrees // 90, axes=(1, 2)))


def expected_rotation(number):
    angle = np.deg2rad((2 * number[0] - 1) * 40)
    return [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]


def expected_zoom(number):
    factor = 1.5 ** (2 * number[0] - 1)
    return [[factor, 0], [0, factor]]


@pytest.mark.parametrize(
    ("spec", "linear"), [("rotate(40, fill=9)", expected_rotation), ("zoom(0.5, fill=9)", expected_zoom)]
)
def test_operations_are_what_they_say(spec, linear):
    images, numbers = pictures(), draws().uniform(1).numpy().astype(np.float64)
    centre = np.array([[WIDTH / 2], [HEIGHT / 2]])
    expected = []
    for image, number in zip(images, numbers, strict=True):
        turned = np.array(linear(number))
        expected.append(pillow(image, np.hstack([turned, centre - turned @ centre]), 9, Image.BILINEAR))
    assert_alike(run(spec, images), np.stack(expected))


def test_shear_slants_rows_or_columns():
    """A vertical bar stays vertical where columns are slanted; either kind, both ways, about as often."""
    bar = np.zeros((400, 21, 21, 1), np.uint8)
    bar[:, :, 10] = 255
    moved = run("shear(0.5, fill=0)", bar)[..., 0]
    top, bottom = moved[:, 0].argmax(axis=1), moved[:, -1].argmax(axis=1)
    of_columns = (moved == bar[..., 0]).all(axis=(1, 2))
    assert 140 < of_columns.sum() < 260
    assert np.abs(top - bottom).max() in (9, 10)
    assert 60 < (top > bottom).sum() < 160 and 60 < (top < bottom).sum() < 160


def test_translate_is_a_shift_by_whole_pixels():
    images = pictures()
    limits = int(0.3 * HEIGHT), int(0.3 * WIDTH)
    steps = draws().integers(0, (2 * limits[0], 2 * limits[1]), 2).numpy() - limits
    expected = np.full_like(images, 50)
    for result, image, (down, right) in zip(expected, images, steps, strict=True):
        part = image[max(down, 0) : HEIGHT + min(down, 0), max(right, 0) : WIDTH + min(right, 0)]
        top, left = max(-down, 0), max(-right, 0)
        result[top : top + part.shape[0], left : left + part.shape[1]] = part
    assert np.array_equal(run("translate(0.3, fill=50)", images), expected)
    assert (np.abs(steps).max(axis=0) > np.array(limits) - 3).all()


def test_resized_crops_have_the_size_that_was_asked_for():
    """Read off from images that hold their own rows and columns."""
    count, size = 3000, 64
    places = np.tile(3 * np.indices((size, size), np.uint8).transpose(1, 2, 0), (count, 1, 1, 1))
    crops = run("random_resized_crop(scale=(0.2, 0.6), ratio=(0.5, 2))", places)
    inner = crops[:, 8:-8, 8:-8].astype(np.float64) / 3
    step = 64 / 47
    height = (inner[:, -1, 0, 0] - inner[:, 0, 0, 0]) * step
    width = (inner[:, 0, -1, 1] - inner[:, 0, 0, 1]) * step
    area, ratio = height * width / size**2, width / height
    assert area.min() > 0.18 and area.max() < 0.63
    assert ratio.min() > 0.47 and ratio.max() < 2.13
    assert np.median(np.log(ratio)) == pytest.approx(0, abs=0.06)
    assert np.median(area) == pytest.approx(0.4, abs=0.03)
    centre = crops[:, 32, 32, :2].mean(axis=0) / 3
    assert centre == pytest.approx([32, 32], abs=1.5)


def test_a_crop_of_the_whole_image_is_the_image():
    images = pictures()
    assert np.array_equal(run("random_resized_crop(scale=(1, 1), ratio=(0.775, 0.775))", images), images)


def test_a_box_that_never_fits_is_cut_to_the_image():
    images = pictures()
    crops = run("random_resized_crop(scale=(1, 1), ratio=(10, 10))", images)
    assert crops.shape == images.shape and not np.array_equal(crops, images)


CHAINS = [
    "rotate(30)|flip(1)",
    "flip(1)|rotate(30)",
    "pad_crop(6)|rotate(30)",
    "pad_crop(6)|vertical_flip|rotate(30)|flip|pad_crop(4)",
    "rotate(30)|pad_crop(6, 'constant', 128)|shear(0.3)",
    "translate(0.2)|rotate(30)|translate(0.2)",
    "rotate(30, fill=3)|rotate(20, fill=200)",
    "rotate(30, interpolation='nearest')|flip|shear",
    "random_resized_crop|flip|rotate(10)",
]


@pytest.mark.parametrize("spec", CHAINS)
def test_a_chain_shows_what_its_operations_show_one_by_one(spec):
    """One reading is sharper than several, so that smooth images are alike but for the rims of filled parts."""
    images = pictures()
    together, alone = View(tf.constant(images)), tf.constant(images)
    for number, call in enumerate(sequence.parse_sequence(spec)):
        operation = getattr(affine, call.name, None) or getattr(geometry, call.name)
        arguments = sequence.arguments.bind(operation, call, hidden=2)
        together = operation(together, draws(number), **arguments)
        alone = operation(View(alone), draws(number), **arguments).pixels()
    difference = np.abs(together.pixels().numpy().astype(int) - alone.numpy()).max(axis=-1)
    assert np.median(difference) <= 3
    assert (difference > 40).mean() < 0.06
    assert np.array_equal(run(spec, images), together.pixels())


def test_neighbouring_matrices_are_one():
    images = tf.constant(pictures())
    there = affine.about_centre(affine.rotation(tf.fill([COUNT], np.float64(33))), View(images))
    back = affine.about_centre(affine.rotation(tf.fill([COUNT], np.float64(-33))), View(images))
    assert np.array_equal(View(images).under(there, 0).under(back, 0).pixels(), images)


def test_a_sequence_is_read_once():
    augment = sequence.build("pad_crop(4)|rotate|flip|shear|zoom|translate|vertical_flip", 0)
    image = tf.TensorSpec([None, 32, 32, 3], tf.uint8)
    labels, ids = tf.TensorSpec([None, 10]), tf.TensorSpec([None], tf.int64)
    graph = tf.function(augment).get_concrete_function(image, labels, ids, tf.TensorSpec([], tf.int64)).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("GatherNd") == 4  # the four neighbours


def corners(count=COUNT):
    """Corners of the unit square, each moved inwards or outwards a little: float64 of shape (count, 4), x and y."""
    moves = np.random.default_rng(2).uniform(-0.2, 0.3, (2, count, 4))
    return moves[0] * [1, -1, -1, 1] + [0, 1, 1, 0], moves[1] * [1, 1, -1, -1] + [0, 0, 1, 1]


def test_a_projective_matrix_brings_the_square_to_the_corners():
    x, y = corners()
    matrices = affine.square_to(tf.constant(x), tf.constant(y)).numpy()
    places = matrices @ np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_allclose(places[:, 0] / places[:, 2], x, atol=1e-12)
    np.testing.assert_allclose(places[:, 1] / places[:, 2], y, atol=1e-12)
    back = affine.adjugate(tf.constant(matrices)).numpy() @ matrices
    np.testing.assert_allclose(back / back[:, 2:, 2:], np.broadcast_to(np.eye(3), back.shape), atol=1e-12)


@pytest.mark.parametrize(("how", "resample"), [("bilinear", Image.BILINEAR), ("nearest", Image.NEAREST)])
def test_perspective_reads_as_pillow_does(how, resample):
    images, pixels = pictures(), np.diag([1 / WIDTH, 1 / HEIGHT, 1])
    x, y = corners()
    square = affine.adjugate(affine.square_to(tf.constant(x), tf.constant(y))).numpy()
    matrices = np.linalg.inv(pixels) @ square @ pixels
    matrices /= matrices[:, 2:, 2:]
    ours = View(tf.constant(images)).under(tf.constant(matrices), 77, how).pixels().numpy()
    expected = np.stack([
        np.asarray(Image.fromarray(image).transform(
            (WIDTH, HEIGHT), Image.PERSPECTIVE, tuple(matrix.ravel()[:8]), resample, fillcolor=(77,) * 3
        ))
        for image, matrix in zip(images, matrices, strict=True)
    ])  # fmt: skip
    assert_alike(ours, expected, share=0.02)


def test_perspective_and_a_turn_are_one_reading():
    """Both orders, against two readings in turn: alike but for the second interpolation of the latter."""
    images = pictures()
    for spec in ("perspective(0.3)|rotate(20)", "rotate(20)|perspective(0.3)"):
        once = run(spec, images).astype(int)
        ids = tf.range(COUNT, dtype=tf.int64)
        steps = [sequence._step(call, 5, number) for number, call in enumerate(sequence.parse_sequence(spec))]
        twice = tf.constant(images)
        for step in steps:
            twice = step.operation(View(twice), Draws(step.key, ids, 2), **step.arguments).pixels()
        difference = np.abs(once - twice.numpy()).max(axis=-1)
        assert np.median(difference) <= 4 and (difference > 40).mean() < 0.08
