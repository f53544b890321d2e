"""Image files are all decoded once before training, and kept on the way where they are to be kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.files import cache_folder
from keras_imgcls.data import cache
from keras_imgcls.data.decode import PILLOW_FORMATS
from keras_imgcls.data.decoding import Decoding, Files
from keras_imgcls.data.groups import identical_files
from keras_imgcls.data.manifest import Manifest
from keras_imgcls.data.samples import Samples, keeps_class_mirrored

NAMED = 10  # bad files that a message names
PEEKED = 100  # headers that tell whether a dataset has a size of its own


def check_files(name: str, manifest: Manifest, root: Path, options: DataOptions) -> Samples:
    """The samples whose files can be decoded, with the sets of files that hold the same bytes.

    Files that are as they were at the last look are neither decoded nor compared again.

    Args:
        name: the dataset's name.
        manifest: the files that were found.
        root: the folder that they are in.
        options: `on_bad_image` says whether bad files are left out; `cache` and the options of decoding, where what the
            look decodes is kept.

    Raises:
        UserError: files can't be decoded, and `--on_bad_image=error`.
    """
    files = Files(root, sorted(manifest.sources.tolist()))
    mirrored = keeps_class_mirrored(name, manifest.class_names)
    samples = Samples(name, manifest, root=root, mirrored=mirrored, own_size=_common_size(files), files=files)
    folder = cache_folder(options.cache_dir)
    known, kept = cache.recall(files, folder), None
    if known is None:
        kept = _look(samples, options, folder)
        known = kept.bad, identical_files(files)  # after the look, which has brought the files into memory
        cache.remember(files, *known, folder)
    bad, identical = known
    excluded = {files.sources[row]: reason for row, reason in bad.items()}
    if excluded:
        _report(excluded, samples, options.on_bad_image)
    good = np.flatnonzero(~np.isin(manifest.sources, list(excluded)))
    copies = tuple(tuple(files.sources[row] for row in rows) for rows in identical)
    return replace(samples, excluded=tuple(excluded.items()), copies=copies, kept=kept).take(good)


def _look(samples: Samples, options: DataOptions, folder: Path) -> cache.Kept:
    size, _, channels = samples.own_shape
    decoding = Decoding(options.image_size or size, options.channels or channels, options.resize, options.interpolation)
    needed = len(samples.files) * int(np.prod(decoding.shape))
    place = cache.choose_place(options.cache, needed, folder, getattr(options, "deterministic", False))
    return cache.keep(samples.files, decoding, place, folder)


def _report(excluded: dict[str, str], samples: Samples, policy: str) -> None:
    named = "; ".join(f"{source} ({reason})" for source, reason in list(excluded.items())[:NAMED])
    found = f"{len(excluded):,} of the {len(samples.files):,} images in {samples.root} can't be decoded: {named}"
    found += " …" if len(excluded) > NAMED else ""
    if policy == "error":
        raise UserError(f"{found}. Mend or remove them, or leave them out with --on_bad_image=exclude.")
    note(f"Excluded, {found}.")


def _common_size(files: Files) -> int:
    """The height and width of all images where they are square and of one size, by the headers of some; else 0."""
    rows = np.unique(np.linspace(0, len(files) - 1, min(len(files), PEEKED)).astype(int))
    sizes = set()
    for row in rows:
        try:
            with Image.open(files.root / files.sources[row], formats=PILLOW_FORMATS) as image:
                sizes.add(image.size)
        except Exception:  # Pillow's plugins raise anything; what can't be read is named by the look at all files
            continue
        if len(sizes) > 1:
            return 0
    width, height = sizes.pop() if sizes else (0, 0)
    return width if width == height else 0
