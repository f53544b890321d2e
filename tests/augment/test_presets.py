"""Presets fit the dataset."""

import pytest

from keras_imgcls.augment import presets


@pytest.mark.parametrize(
    ("name", "size", "mirrored", "expected"),
    [
        ("standard", 32, True, "pad_crop(4)|flip"),
        ("standard", 8, False, "pad_crop(1)"),
        ("standard", 7, True, "pad_crop(1)|flip"),
        ("standard", 224, True, "pad_crop(28)|flip"),
        ("none", 32, True, ""),
        ("flip|cutout(3)", 32, False, "flip|cutout(3)"),
    ],
)
def test_presets_become_sequences_and_sequences_stay(name, size, mirrored, expected):
    assert presets.resolve(name, size, mirrored) == expected
