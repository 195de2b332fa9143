"""Files that are on disk when we say so, and never visible half-written.

Everything is made in a staging folder, flushed (fsync), then renamed to its place, whose folder
is flushed in turn. The staging folder lies on the same file system, so a rename is atomic.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path


class Staging:
    """A folder for what is not whole yet.

    Args:
        folder: it; made, durably, when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder = folder

    def new_path(self) -> Path:
        """A path that nothing is at; whoever takes it removes what it puts there."""
        return self._folder / uuid.uuid4().hex

    @contextmanager
    def path(self) -> Iterator[Path]:
        """A path that nothing is at, for a file or a folder; removed at the end if still there."""
        path = self.new_path()
        try:
            yield path
        finally:
            tidy(path)

    def sweep(self, older_than: timedelta, now: datetime) -> int:
        """Remove what processes that died have left; answers how many.

        Younger entries stay: other processes may use the same folder at this moment.
        """
        limit = (now - older_than).timestamp()
        left = [path for path in self._folder.iterdir() if _changed(path) < limit]
        for path in left:
            tidy(path)
        return len(left)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each of them on disk when this returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent, deep=False)


def flush(path: Path, *, deep: bool = True) -> None:
    """Bring a file, or a folder with all that it holds, to the disk.

    Args:
        path: the file or folder.
        deep: whether to flush a folder's contents as well, not only its list of names.
    """
    if deep and path.is_dir():
        for entry in path.iterdir():
            flush(entry)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(staged: Path, target: Path) -> None:
    """Move a flushed file or folder to its place; it is there, on disk, when this returns.

    A file that is there already is replaced. A folder is not: `OSError` is raised, since two
    renames are not atomic.
    """
    staged.rename(target)
    flush(target.parent, deep=False)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that it holds, if it is there.

    Raises:
        OSError: when something of it cannot be removed; as much as can be is.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # Another process may be removing it as well: what it was quicker with is no error.
    shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def tidy(path: Path) -> None:
    """Remove what is not needed any more; what cannot be removed is left for `gc`."""
    with suppress(OSError):
        remove(path)


def entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where it is not there."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def tree(folder: Path) -> Iterator[Path]:
    """Every file below a folder; what goes away while we look is passed over."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write on the folder's file system."""
    return shutil.disk_usage(folder).free


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its owner was quicker
        return float("inf")
