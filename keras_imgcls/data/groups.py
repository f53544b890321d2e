"""Groups: samples that must stay in one split, since one gives the other away: frames of a track, copies of a file."""

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from keras_imgcls.core import files
from keras_imgcls.core.config import group_pattern
from keras_imgcls.core.console import note, warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decoding import Files
from keras_imgcls.data.manifest import SPLITS, Manifest
from keras_imgcls.data.samples import Samples

COPIES = "copies of "  # begins the name of a group that nothing but equal bytes holds together
NAMED = 5  # sources that a message names
TAIL = 4096  # bytes; of images of one size the ends differ more than the headers


def grouped(samples: Samples, group_by: str) -> Samples:
    """`samples` with the groups that `--group_by` and byte-identical files make; those that share a sample are one.

    Args:
        samples: what a reader gave; groups that it told remain.
        group_by: the flag; empty for none.

    Raises:
        UserError: the expression is none, or is found in no source.
    """
    manifest = samples.manifest
    told = [] if manifest.groups is None else [manifest.groups.tolist()]
    told += [names_by_pattern(manifest.sources.tolist(), group_by)] if group_by else []
    row_of = {source: row for row, source in enumerate(manifest.sources.tolist())}
    copies = [[row_of[source] for source in sources if source in row_of] for sources in samples.copies]
    if not told and not copies:
        return samples
    return replace(samples, manifest=replace(manifest, groups=merge(manifest.sources.tolist(), told, copies)))


def names_by_pattern(sources: Sequence[str], group_by: str) -> list[str]:
    """What `group_by` finds in each source: its first capturing group if it has one, else the whole match; or `""`.

    Raises:
        UserError: the expression is none, or is found in no source.
    """
    pattern = group_pattern(group_by)
    matches = map(pattern.search, sources)
    names = [(match[1 if pattern.groups else 0] or "") if match else "" for match in matches]
    unmatched = names.count("")
    if unmatched == len(names):
        raise UserError(f"--group_by='{group_by}' is found in no path; the first is '{min(sources)}'.")
    if unmatched:
        first = min(source for source, name in zip(sources, names, strict=True) if not name)
        note(f"--group_by is not found in {unmatched:,} of {len(names):,} paths ({first} …): they stand alone.")
    return names


def merge(sources: Sequence[str], told: Iterable[Sequence[str]], copies: Iterable[Sequence[int]]) -> np.ndarray:
    """The name of each sample's group, `""` where it is alone: all that is connected is one group.

    A group is called by the least of the names that it was told, or `copies of` its least source.

    Args:
        sources: where each sample comes from.
        told: names by row, `""` for none; one name is one group.
        copies: sets of rows that are equal.
    """
    parent = list(range(len(sources)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    members, names = defaultdict(list), defaultdict(list)
    for column in told:
        for row, name in enumerate(column):
            if name:
                members[name].append(row)
    copies = [list(rows) for rows in copies]
    for rows in (*members.values(), *copies):
        for row in rows[1:]:
            parent[root(row)] = root(rows[0])
    for name, rows in members.items():
        names[root(rows[0])].append(name)
    for rows in copies:
        if len(rows) > 1 and not names.get(root(rows[0])):
            names[root(rows[0])].append(COPIES + min(sources[row] for row in rows))
    return np.array([min(names.get(root(row), [""])) for row in range(len(sources))])


def identical_files(images: Files) -> list[list[int]]:
    """Sets of rows whose files hold the same bytes, each ascending.

    Sizes tell most files apart, the last 4 KiB nearly all others; SHA-256 of the whole decides. 100,000 files: seconds.
    """
    paths = [os.path.join(images.root, source) for source in images.sources]  # Path makes 100,000 of them in a second
    sets = [list(range(len(paths)))]
    for key in (os.path.getsize, _tail, files.digest):
        sets = [part for rows in sets for part in _alike(rows, paths, key)]
    return sorted(sets)


def _alike(rows: list[int], paths: list[str], key: Callable[[str], object]) -> Iterator[list[int]]:
    """`rows` parted by `key` of their files, parts of one left out; a file that can't be read is like no other."""
    parts = defaultdict(list)
    for row in rows:
        with contextlib.suppress(OSError):
            parts[key(paths[row])].append(row)
    yield from (part for part in parts.values() if len(part) > 1)


def _tail(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - TAIL, 0))
        return hashlib.blake2b(file.read(), digest_size=16).digest()


def crossing(manifest: Manifest) -> Counter[tuple[str, str]]:
    """How many groups are in both of two splits, by those splits."""
    if manifest.groups is None:
        return Counter()
    splits = defaultdict(set)
    for name, split in set(zip(manifest.groups.tolist(), manifest.splits.tolist(), strict=True)):
        if name:
            splits[name].add(split)
    return Counter(pair for found in splits.values() for pair in combinations(sorted(found, key=SPLITS.index), 2))


def leaked(manifest: Manifest, split: str) -> int:
    """How many samples of `split` are of a group that training has too."""
    if manifest.groups is None:
        return 0
    trained = set(manifest.groups[manifest.ids("train")].tolist()) - {""}
    return sum(name in trained for name in manifest.groups[manifest.ids(split)].tolist())


def counts(samples: Samples) -> dict[str, int]:
    """For `metrics.json`: groups of two samples or more, sets of byte-identical files, and what leaks."""
    groups = [] if samples.manifest.groups is None else samples.manifest.groups.tolist()
    sizes = Counter(name for name in groups if name)
    found = {"count": sum(size > 1 for size in sizes.values()), "identical_files": len(samples.copies)}
    leaks = {f"{split}_leaked": leaked(samples.manifest, split) for split in ("validation", "test")}
    return found | {name: count for name, count in leaks.items() if count}


def tell(samples: Samples) -> None:
    """Says what was grouped; warns of copies with different labels, and of groups that given splits tear apart."""
    manifest, found = samples.manifest, counts(samples)
    if manifest.groups is None:
        return
    note(f"Groups that stay in one split: {found['count']:,}; sets of byte-identical files: {len(samples.copies):,}.")
    conflicts = _conflicts(samples)
    if conflicts:
        more = " …" if len(conflicts) > NAMED else ""
        warn(
            f"{len(conflicts)} sets of byte-identical files have different labels: {'; '.join(conflicts[:NAMED])}{more}"
        )
    for (one, other), number in sorted(crossing(manifest).items()):
        count = leaked(manifest, other) if one == "train" else 0
        images = f" ({count:,} of its {len(manifest.ids(other)):,} images)" if count else ""
        warn(
            f"{number:,} groups are in both {one} and {other}{images}, as the splits were given: nothing is moved, and "
            f"the accuracy on {other} flatters."
        )


def _conflicts(samples: Samples) -> list[str]:
    manifest = samples.manifest
    labels = {
        source: manifest.class_names[label]
        for source, label in zip(manifest.sources.tolist(), manifest.classes().tolist(), strict=True)
    }
    sets = [[source for source in sources if source in labels] for sources in samples.copies]
    return [
        ", ".join(f"{source} ({labels[source]})" for source in sources)
        for sources in sets
        if len({labels[source] for source in sources}) > 1
    ]
