"""CIFAR-10 from the official archives or what was extracted of them, from TFDS, or by download."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import DATASETS
from keras_imgcls.data.manifest import Manifest, one_hot
from keras_imgcls.data.readers import tfds
from keras_imgcls.data.samples import Samples

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
LARGEST_FILE = 31_035_999  # bytes: data_batch_3

# The sums of the archives are those on https://www.cs.toronto.edu/~kriz/cifar.html, those of the python files the ones
# that torchvision checks. Those of the binary files were computed from the python files, each record a byte of label
# and 3,072 of pixels; the SHA-1 sums of these very bytes are the ones that MXNet's CIFAR10 has for the official files.
ARCHIVES = {
    "cifar-10-python.tar.gz": ("c58f30108f718f92721af3b95e74349a", PYTHON),
    "cifar-10-binary.tar.gz": ("c32a1d4ab5d03f1284b67883e8d87530", BINARY),
}
FILES = {
    PYTHON: {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    BINARY: {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
}


@DATASETS.register
def cifar10(options: DataOptions, seed: int) -> Samples:
    """60,000 photos of 10 classes, 32x32 RGB; found in --data_dir, in a TFDS folder, or downloaded. (Krizhevsky 2009.)

    Rows, ids and splits are the same whichever of the sources they come from: TFDS shuffles its rows, but keeps the
    official number of each.

    Raises:
        UserError: a file isn't the official one, or there is none; the message says what was tried and what to do.
    """
    tried = []
    if options.data_dir:
        place = Path(options.data_dir).expanduser()
        if not place.exists():
            raise UserError(f"There is no file or folder {place}, where --data_dir says that CIFAR-10 is.")
        official = find_official(place, tried)
        if official is not None:
            return _samples(official)
    try:
        return tfds.read_named("cifar10", options, by_id=True)
    except tfds.Unavailable as error:
        tried.extend(error.tried)
    raise UserError(
        f"CIFAR-10 wasn't found. Tried: {'; '.join(tried)}. Three ways out: --data_dir=FOLDER with the official "
        f"{' or '.join(ARCHIVES)} (or what was extracted of it) from https://www.cs.toronto.edu/~kriz/cifar.html; "
        "--data_dir=FOLDER with a prepared TFDS folder; or connect this machine to the network."
    )


def find_official(place: Path, tried: list[str]) -> dict[str, bytes] | None:
    """The six official files in `place` (their folder, its parent, or an archive), once their MD5 sums are right.

    What is missing is added to `tried`.

    Raises:
        UserError: a file isn't the official one.
    """
    for folder_name, sums in FILES.items():
        for folder in (place, place / folder_name):
            missing = [name for name in sums if not (folder / name).is_file()]
            if not missing:
                return {name: _checked(_contents(folder / name), md5, folder / name) for name, md5 in sums.items()}
            if len(missing) < len(sums):
                tried.append(f"{folder} lacks {', '.join(missing)}")
    for archive_name in ARCHIVES:
        for path in (place, place / archive_name):
            if path.is_file() and path.name == archive_name:
                return _unpacked(path)
    tried.append(f"no official archive or folder in {place}")
    return None


def _unpacked(path: Path) -> dict[str, bytes]:
    """The six files in an archive, read into memory: nothing is extracted, and other members are left alone."""
    md5, folder_name = ARCHIVES[path.name]
    with open(path, "rb") as file:
        _require(hashlib.file_digest(file, "md5").hexdigest(), md5, path)
    sums, found = FILES[folder_name], {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix(f"{folder_name}/")
            if name in sums and member.isfile() and member.size <= LARGEST_FILE:
                found[name] = _checked(archive.extractfile(member).read(), sums[name], f"{name} in {path}")
    missing = [name for name in sums if name not in found]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}.")
    return found


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"Can't read {path}: {error.strerror}.") from error


def _checked(contents: bytes, md5: str, where: str | Path) -> bytes:
    _require(hashlib.md5(contents, usedforsecurity=False).hexdigest(), md5, where)
    return contents


def _require(found: str, expected: str, where: str | Path) -> None:
    if found != expected:
        raise UserError(
            f"{where} isn't the official file of CIFAR-10: its MD5 is {found}, expected {expected}. Download it again."
        )


def _samples(official: Mapping[str, bytes]) -> Samples:
    images, classes, sources, splits = [], [], [], []
    for split, names in (("train", sorted(official)[:5]), ("test", sorted(official)[5:])):
        parts = [_records(official[name], name) for name in names]
        images.extend(pixels for pixels, _ in parts)
        found = np.concatenate([labels for _, labels in parts])
        classes.append(found)
        sources.append(np.char.mod(f"{split}[%05d]", np.arange(len(found))))
        splits.append(np.full(len(found), split, "<U10"))
    planes = np.concatenate(images).reshape(-1, 3, 32, 32)
    labels = one_hot(np.concatenate(classes), len(CLASS_NAMES))
    manifest = Manifest(np.concatenate(sources), labels, np.concatenate(splits), CLASS_NAMES)
    return Samples("cifar10", manifest, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))


def _records(contents: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [n, 3072], a plane a channel, and labels [n] in a file."""
    if name.endswith(".bin"):
        records = np.frombuffer(contents, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        return records[:, 1:], records[:, 0]
    batch = unpickle(contents)
    return batch[b"data"], np.array(batch[b"labels"], np.int64)


def unpickle(contents: bytes) -> Any:
    """What a pickle of arrays, lists, dictionaries, strings and numbers holds; nothing else is looked up or called.

    Raises:
        UserError: the pickle asks for anything else.
    """
    return _ArrayUnpickler(io.BytesIO(contents), encoding="bytes").load()


def _empty_array(kind: type, shape: tuple[int, ...], dtype: bytes) -> np.ndarray:
    """What NumPy's `_reconstruct` does, without the memory that a false shape would ask for: the state follows."""
    return np.ndarray.__new__(np.ndarray, (0,), np.uint8)


def _latin_bytes(text: str, encoding: str) -> bytes:
    """What Python 3 asks `codecs.encode` for where a pickle of Python 2 has a string."""
    if encoding != "latin1":
        raise UserError(f"A pickle asked for text in {encoding}: refused.")
    return text.encode(encoding)


class _ArrayUnpickler(pickle.Unpickler):
    ALLOWED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy._core.multiarray", "_reconstruct"): _empty_array,
        ("_codecs", "encode"): _latin_bytes,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise UserError(f"A pickle asked for {module}.{name}: refused, since it could run any code.")
        return self.ALLOWED[module, name]
