"""The manifest: what the samples of a dataset are. Row number is sample id, for the whole life of a run."""

import csv
import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_imgcls.core import files
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.run import require_names

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Manifest:
    """The samples of a dataset, in the order of their ids.

    Attributes:
        sources: where each sample comes from: a path relative to the dataset's root, or `name[index]`.
        labels: float32 of shape (samples, classes), one-hot (multi-hot is left open).
        splits: one of `train`, `validation`, `test` per sample.
        class_names: the names of the classes, in the order of the columns of `labels`.
        groups: names of what must stay in one split (a patient, a video track); empty strings where there are none.

    Raises:
        UserError: a class has a name that is no line of text.
    """

    sources: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        require_names(self.class_names)

    def __len__(self) -> int:
        return len(self.sources)

    def ids(self, split: str) -> np.ndarray:
        """The ids (int64) of the samples of a split, ascending."""
        return np.flatnonzero(self.splits == split)

    def classes(self) -> np.ndarray:
        """The class index (int64) of each sample."""
        return self.labels.argmax(axis=1)

    def take(self, rows: np.ndarray) -> "Manifest":
        """The manifest of some rows, which get new ids: their places in `rows`."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(
            self, sources=self.sources[rows], labels=self.labels[rows], splits=self.splits[rows], groups=groups
        )

    def order(self) -> np.ndarray:
        """The rows sorted by split, then source: the order that ids follow."""
        return np.lexsort((self.sources, [SPLITS.index(split) for split in self.splits]))

    def text(self) -> str:
        """The manifest as CSV: id, source, label, split and, where there are groups, group."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["id", "source", "label", "split"] + (["group"] if self.groups is not None else []))
        names = np.array(self.class_names, dtype=object)
        for row in range(len(self)):
            label = "|".join(names[self.labels[row] > 0])
            group = [self.groups[row]] if self.groups is not None else []
            writer.writerow([row, self.sources[row], label, self.splits[row], *group])
        return out.getvalue()

    def digest(self) -> str:
        """SHA-256 of `text()`: equal where samples, labels, splits and order are."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def write(self, path: str | Path) -> None:
        """Writes `text()` to `path`, whole or not at all."""
        files.write_text(path, self.text())


def one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    """Class indices of shape (n,) as float32 vectors of shape (n, count)."""
    return np.eye(count, dtype=np.float32)[np.asarray(classes, dtype=np.int64)]


def join_by_name(manifest: Manifest, class_names: tuple[str, ...]) -> Manifest:
    """`manifest` with its labels rearranged to the classes of a trained model, joined by name.

    Raises:
        UserError: the manifest has a class that the model does not know.
    """
    unknown = [name for name in manifest.class_names if name not in class_names]
    if unknown:
        hint = nearest(unknown[0], class_names)
        raise UserError(f"The model has no class '{unknown[0]}'.{hint} It knows: {', '.join(class_names)}.")
    labels = np.zeros((len(manifest), len(class_names)), np.float32)
    labels[:, [class_names.index(name) for name in manifest.class_names]] = manifest.labels
    return replace(manifest, labels=labels, class_names=tuple(class_names))
