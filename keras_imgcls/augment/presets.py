"""Presets: augmentations by one word, fitted to the dataset."""


def resolve(name: str, image_size: int, mirrored: bool) -> str:
    """The sequence behind `name`; what is no preset is returned as it is.

    Args:
        name: `none`, `standard` or a sequence.
        image_size: height and width, pixels; `standard` shifts by an eighth of it (4 at 32 px, as He et al. 2015).
        mirrored: whether a mirror image keeps its class: not so for digits and road signs, which are not flipped.
    """
    if name == "standard":
        shift = f"pad_crop({max(1, image_size // 8)})"
        return f"{shift}|flip" if mirrored else shift
    return "" if name == "none" else name
