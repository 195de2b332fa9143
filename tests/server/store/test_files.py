"""Files are whole when they are visible, and what a kill left is swept."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.mounts import mounted

from sparsegrad_server.store.files import Staging, flush, make_folder, place, remove, tidy


def test_a_staged_path_is_gone_unless_it_was_placed(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staging")
    with staging.path() as file, staging.path() as folder:
        file.write_bytes(b"kept")
        make_folder(folder / "inner")
        flush(file)
        place(file, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_staged_path_is_gone_after_an_error(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staging")

    def fail() -> None:
        with staging.path() as path:
            path.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_sweep_takes_the_old_and_leaves_the_young(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    now = datetime.now(UTC)
    for name, age in (("old", 100), ("young", 10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").write_bytes(b"")
        then = now.timestamp() - age
        os.utime(tmp_path / name, (then, then))
    assert staging.sweep(timedelta(seconds=60), now) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["young"]


def test_a_file_is_replaced_but_a_folder_is_not(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).write_text(name)
        make_folder(tmp_path / f"{name}-folder")
        (tmp_path / f"{name}-folder" / name).write_text(name)
    place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    with pytest.raises(OSError, match="not empty"):
        place(tmp_path / "new-folder", tmp_path / "old-folder")
    assert (tmp_path / "old-folder" / "old").exists()


def test_what_cannot_be_removed_is_told_or_left(tmp_path: Path) -> None:
    with mounted(tmp_path / "folder" / "busy", 4096):
        (tmp_path / "folder" / "file").write_bytes(b"")
        with pytest.raises(OSError, match="busy"):
            remove(tmp_path / "folder")
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["busy"]
        tidy(tmp_path / "folder")
    tidy(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
