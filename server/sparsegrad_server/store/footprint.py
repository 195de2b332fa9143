"""What something in a store takes up, for whoever looks for what nothing names any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sparsegrad_shared.calibrations import GradientForm

from .files import tree


@dataclass(frozen=True)
class Footprint:
    """What something takes up, and since when.

    Attributes:
        bytes: of all that belongs to it.
        changed: when any of it was last written.
    """

    bytes: int
    changed: datetime


@dataclass(frozen=True)
class Holding:
    """Something that lies in a slot: a gradient, or the half of one.

    Attributes:
        group: the slot's group.
        index: the slot's index.
        form: the form that it is a gradient of.
        bytes: as stored.
    """

    group: str
    index: int
    form: GradientForm
    bytes: int


def footprint_of(path: Path) -> Footprint:
    """Of a file, or of a folder with all that it holds; what goes away meanwhile counts nothing."""
    size, changed = 0, 0.0
    for found in (path, *tree(path)):
        try:
            stat = found.stat()
        except FileNotFoundError:
            continue
        changed = max(changed, stat.st_mtime)
        size += 0 if found.is_dir() else stat.st_size
    return Footprint(size, datetime.fromtimestamp(changed, UTC))
