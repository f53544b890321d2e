"""Presets: augmentations by one word, fitted to the dataset."""

PHOTO_SIZE = 96  # pixels; from here on the object is seldom where, and as large as, the picture's frame says


def resolve(name: str, image_size: int, mirrored: bool) -> str:
    """The sequence behind `name`; what is no preset is returned as it is.

    Args:
        name: `none`, `light`, `standard`, `strong` or a sequence. `light` is for short runs, `strong` for long ones.
        image_size: height and width, pixels; `standard` shifts by an eighth of it (4 at 32 px, as He et al. 2015).
        mirrored: whether a mirror image keeps its class: not so for digits and road signs, which are not flipped, nor
            turned by more than 9 degrees (randaugment's magnitude 9).
    """
    shift, flip = max(1, image_size // 8), ["flip"] if mirrored else []
    if image_size < PHOTO_SIZE:
        strong = [f"pad_crop({shift})", *flip, "randaugment(2, 9)", f"cutout({max(1, image_size // 4)})"]
    else:
        strong = ["random_resized_crop(scale=(0.3, 1))", *flip, "randaugment(2, 9)", "random_erasing"]
    presets = {
        "none": [],
        "light": [f"pad_crop({max(1, image_size // 16)})", *flip],
        "standard": [f"pad_crop({shift})", *flip],
        "strong": strong,
    }
    return "|".join(presets[name]) if name in presets else name
