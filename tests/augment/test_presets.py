"""Presets fit the dataset."""

import pytest

from keras_imgcls.augment import presets, sequence


@pytest.mark.parametrize(
    ("name", "size", "mirrored", "expected"),
    [
        ("standard", 32, True, "pad_crop(4)|flip"),
        ("standard", 8, False, "pad_crop(1)"),
        ("standard", 7, True, "pad_crop(1)|flip"),
        ("standard", 224, True, "pad_crop(28)|flip"),
        ("none", 32, True, ""),
        ("light", 32, True, "pad_crop(2)|flip"),
        ("light", 8, False, "pad_crop(1)"),
        ("strong", 32, True, "pad_crop(4)|flip|randaugment(2, 9)|cutout(8)"),
        ("strong", 8, False, "pad_crop(1)|randaugment(2, 9)|cutout(2)"),
        ("strong", 224, True, "random_resized_crop(scale=(0.3, 1))|flip|randaugment(2, 9)|random_erasing"),
        ("strong", 224, False, "random_resized_crop(scale=(0.3, 1))|randaugment(2, 9)|random_erasing"),
        ("flip|cutout(3)", 32, False, "flip|cutout(3)"),
    ],
)
def test_presets_become_sequences_and_sequences_stay(name, size, mirrored, expected):
    assert presets.resolve(name, size, mirrored) == expected


@pytest.mark.parametrize("size", [8, 32, 224])
@pytest.mark.parametrize("name", ["none", "light", "standard", "strong"])
def test_presets_are_sequences_that_exist(name, size):
    assert sequence.build(presets.resolve(name, size, True), 0)
