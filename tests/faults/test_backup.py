"""A backup that is made while everything runs, restored: all that was acknowledged before it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from support.faults import verdict
from support.faults.campaign import Campaign, await_end, await_until, processes
from support.faults.contents import Contents
from support.faults.uploader import JOURNAL_FILE

CALIBRATIONS = 4


def test_a_backup_of_a_running_service_goes_on_where_it_was_made(tmp_path: Path) -> None:
    contents = Contents(seed=4)
    original = Campaign(tmp_path / "original", contents)
    restored = Campaign(tmp_path / "restored", contents)
    (original.folder).mkdir()
    with processes(original, CALIBRATIONS):
        await_until(
            lambda: any(known.digest for known in original.known.values()), "nothing published"
        )
        restored.folder.mkdir()
        # What the client knew when the backup began is what the backup must hold.
        shutil.copy(original.folder / JOURNAL_FILE, restored.folder)
        _back_up(original, restored.settings.data)
    verdict.assert_acknowledged_is_there(restored)
    verdict.assert_bases_are_whole(restored)
    verdict.assert_nothing_is_wrong(restored)
    with processes(restored, CALIBRATIONS) as running:
        await_end(restored, running)
    verdict.assert_no_job_is_stuck(restored)
    verdict.assert_gc_leaves_what_is_named_and_nothing_else(restored)
    verdict.assert_acknowledged_is_there(restored)
    assert len(restored.known) == CALIBRATIONS


def _back_up(original: Campaign, data: Path) -> None:
    """As docs/backup.md says: the catalog first, then gradients and bases."""
    data.mkdir()
    settings = original.settings
    with (
        closing(sqlite3.connect(settings.data / "catalog.sqlite")) as source,
        closing(sqlite3.connect(data / "catalog.sqlite")) as target,
    ):
        source.backup(target)
    for folder in (settings.gradients_folder, settings.bases_folder):
        shutil.copytree(folder, data / folder.name)
