"""Folders that appear whole or not at all.

A folder is written aside, fsynced, and renamed into place. What stood there before is moved aside
first and deleted last, so a kill at any line leaves the old folder, the new one, or both.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsegrad_shared.errors import InvalidInput

from .disk import flush


@contextmanager
def new_folder(path: Path, *, replacing: Collection[str] = ()) -> Iterator[Path]:
    """A folder to write files into, which stands at `path` when the block ends without an error.

    Args:
        path: where it shall stand.
        replacing: names of files that may stand there already, in the folder that it replaces.

    Raises:
        InvalidInput: when something else stands at `path`.
        OSError: when the disk refuses.
    """
    path = path.resolve()  # a link to a folder stays, and the folder is replaced
    check_replaceable(path, replacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    aside.mkdir()
    try:
        yield aside
        for part in (*aside.rglob("*"), aside):
            flush(part)
        _rename_into_place(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def left_over(path: Path) -> Path | None:
    """Where the folder before may still be, when a kill fell between the two renames."""
    path = path.resolve()  # as `new_folder` does
    return next(iter(sorted(path.parent.glob(f".{path.name}.*.old"))), None)


def check_replaceable(path: Path, replacing: Collection[str] = ()) -> None:
    """Refuse a place that holds something that a new folder would delete.

    Args:
        path: the place.
        replacing: names of files that may be deleted.

    Raises:
        InvalidInput: when there is a file, or a folder with other files.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise InvalidInput(f"{path}: expected a new folder, found a file")
    foreign = {part.name for part in path.iterdir()} - set(replacing)
    if foreign:
        raise InvalidInput(
            f"{path}: expected a new or empty folder{' or one to replace' if replacing else ''}, "
            f"found {', '.join(sorted(foreign)[:3])}; choose another folder"
        )


def _rename_into_place(aside: Path, path: Path) -> None:
    previous = aside.with_suffix(".old")
    if path.exists():
        path.rename(previous)
    aside.rename(path)
    flush(path.parent)
    if previous.exists():
        shutil.rmtree(previous)
