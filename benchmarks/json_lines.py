"""Files of JSON lines that grow: a line is whole, or it was never written.

A kill may cut off the last line. Reading passes it over, and the next line that is added takes its
place, so that every line of the file can be read by any program.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sparsegrad_shared.errors import InvalidInput

Row = dict[str, Any]


def read_rows(path: Path) -> list[tuple[int, Row]]:
    """The objects of a file, each with the number of its line; none where there is no file.

    Blank lines and a last one that was cut off are passed over.

    Raises:
        InvalidInput: when another line is no JSON object; names it.
    """
    if not path.exists():
        return []
    *whole, last = path.read_bytes().split(b"\n")
    lines = [*whole, last] if _row_of(last) is not None else whole
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row_of(line)
        if row is None:
            start = line[:60].decode(errors="replace")
            raise InvalidInput(f"{path} line {number}: expected a JSON object, got {start!r}")
        rows.append((number, row))
    return rows


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line, and the file and its folder where there is none; it is on disk on return."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may add to it too
        _end_last_line(file)
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _end_last_line(file: BinaryIO) -> None:
    file.seek(0)
    last = file.read().rpartition(b"\n")[2]
    if last and _row_of(last) is None:
        file.truncate(file.tell() - len(last))
    elif last:
        file.write(b"\n")


def _row_of(line: bytes) -> Row | None:
    try:
        found = json.loads(line)
    except ValueError:  # of JSON, or of UTF-8
        return None
    return found if isinstance(found, dict) else None
