"""Samples: which datasets may be mirrored."""

import pytest

from keras_imgcls.data.samples import keeps_class_mirrored


@pytest.mark.parametrize(
    ("name", "class_names", "expected"),
    [
        ("photos", ("cat", "dog"), True),
        ("flowers", ("bright_daisy", "tulip"), True),
        ("brain_mri", ("no", "yes"), True),
        ("photos", ("00", "01", "42"), False),
        ("photos", ("a", "b", "Ü"), False),
        ("photos", ("1", "2", "door"), True),
        ("arrows", ("arrow_left", "arrow_right"), False),
        ("arrows", ("Turn Right", "stop"), False),
        ("Road_Signs", ("stop", "yield"), False),
        ("design", ("wrong_leftover", "bright"), True),
        ("svhn_cropped", ("zero", "one"), False),
    ],
)
def test_mirror_images_are_taken_where_they_keep_the_class(name, class_names, expected):
    assert keeps_class_mirrored(name, class_names) is expected
