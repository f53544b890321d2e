"""How much memory this process may still take: the machine's, or less where a control group (a container) says so."""

import os
from collections.abc import Iterator
from pathlib import Path


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that can be allocated without swapping or being killed; half of the machine's where it doesn't say.

    `root` is where `/proc` and `/sys` are looked for.
    """
    limits = [*_machine(root / "proc/meminfo"), *_control_groups(root)]
    if not limits:  # macOS
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return max(min(limits), 0)


def _machine(meminfo: Path) -> Iterator[int]:
    for name, amount in _words(meminfo):
        if name == "MemAvailable:":
            yield int(amount) * 1024


def _control_groups(root: Path) -> Iterator[int]:
    """What is left in each group that holds this process; version 2 has one tree, version 1 one for memory."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(root / "sys/fs/cgroup/memory", path, *names)


def _left(tree: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    """The limit less what is used, for the group at `path` and those above it; file caches can be taken back."""
    group = tree / path.strip("/")
    for folder in (group, *group.parents):
        most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
        if most.isdecimal() and used.isdecimal():
            reclaimable = sum(int(amount) for name, amount in _words(folder / "memory.stat") if name == cache)
            yield int(most) - int(used) + reclaimable
        if folder == tree:
            return


def _words(path: Path) -> Iterator[tuple[str, str]]:
    for line in _text(path).splitlines():
        name, amount, *_ = [*line.split(), "", ""]
        yield name, amount


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
