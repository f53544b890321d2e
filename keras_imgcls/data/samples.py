"""A dataset as its reader hands it over: the manifest and where the pixels are."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_imgcls.data.manifest import Manifest

if TYPE_CHECKING:
    from keras_imgcls.data.cache import Kept
    from keras_imgcls.data.decoding import Files

# Sets of writing and of signs, by a part of their name or a word in it; classes that are each other's mirror image.
UNMIRRORED = re.compile(
    r"mnist|svhn|omniglot|cmaterdb|gtsrb|quickdraw|(?<![a-z])(digits?|letters?|alphabet|signs?)(?![a-z])"
)
SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])")

PHOTO_SIZE = 160  # where photos come in many sizes and the user names none: 1.9 times as fast as 224


@dataclass(frozen=True)
class Samples:
    """What a reader returns. Exactly one of `images` and `root` says where the pixels are.

    Attributes:
        name: a short name for tables and folders.
        manifest: what the samples are.
        images: uint8 of shape (samples, height, width, channels), rows as in the manifest; None for files.
        root: the folder that the manifest's sources are relative to; None for arrays.
        mirrored: whether a mirror image keeps its class, so that the standard augmentation may flip.
        excluded: files left out because they can't be decoded, with the reason of each.
        own_size: height and width that all images share, pixels; 0 for files of many sizes.
        files: all files that the reader found, sorted by source, excluded ones too; None where it didn't look.
        copies: sets of files that hold the same bytes, by source; excluded ones too.
        kept: what the reader's look at the files left in memory or on the disk, if it had to look.
    """

    name: str
    manifest: Manifest
    images: np.ndarray | None = None
    root: Path | None = None
    mirrored: bool = True
    excluded: tuple[tuple[str, str], ...] = ()
    own_size: int = 0
    files: "Files | None" = None
    copies: tuple[tuple[str, ...], ...] = ()
    kept: "Kept | None" = None

    @property
    def own_shape(self) -> tuple[int, int, int]:
        """Height, width and channels that a model sees where the user names none."""
        if self.images is not None:
            return self.images.shape[1:]
        return self.own_size or PHOTO_SIZE, self.own_size or PHOTO_SIZE, 3

    def take(self, rows: np.ndarray) -> "Samples":
        """The dataset of some rows, in that order, with new ids."""
        images = None if self.images is None else self.images[rows]
        return replace(self, manifest=self.manifest.take(rows), images=images)


def keeps_class_mirrored(name: str, class_names: Iterable[str]) -> bool:
    """Whether mirror images of a dataset's samples may be taken for samples of the same class.

    Not where its name is one of writing or of signs, where all classes are called by numbers or single letters, or where
    one is called left or right.
    """
    classes = [class_name.lower() for class_name in class_names]
    written = all(class_name.isdecimal() or len(class_name) == 1 for class_name in classes)
    sided = any(SIDES.search(class_name) for class_name in classes)
    return not (written or sided or UNMIRRORED.search(name.lower()))
