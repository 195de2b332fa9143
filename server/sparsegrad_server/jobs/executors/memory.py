"""How much memory this process may still take, as the system and its control group see it."""

from __future__ import annotations

import os
from pathlib import Path

from ...settings import Settings

_MEMINFO = Path("/proc/meminfo")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def worker_memory(settings: Settings) -> int:
    """Bytes that a worker may use: the setting, or what is free."""
    return settings.worker_memory_bytes or free_memory()


def free_memory() -> int:
    """Bytes that can be had without swapping; within a container, up to its limit."""
    limits = [_machine(), *(free_in(group) for group in _control_groups())]
    return min(limit for limit in limits if limit is not None)


def _machine() -> int:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:  # not Linux: what there is, free or not
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kib) * 1024


def _control_groups() -> list[Path]:
    """The folders of our control group (version 2) and of all above it."""
    try:
        line = next(x for x in _OWN_GROUP.read_text().splitlines() if x.startswith("0::"))
    except (OSError, StopIteration):
        return []
    own = _GROUPS / line.removeprefix("0::").strip("/")
    return [own, *(parent for parent in own.parents if parent.is_relative_to(_GROUPS))]


def free_in(group: Path) -> int | None:
    """What is left of a control group's limit; None when it has none.

    Args:
        group: its folder.
    """
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        statistics = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if limit == "max":
        return None
    # The cache of files counts as used, but goes as soon as somebody needs the memory.
    cached = next(int(line.split()[1]) for line in statistics if line.startswith("inactive_file "))
    return max(int(limit) - used + cached, 0)
