"""Spare things in the data folder: of uploads, imports and jobs that ended in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import select

from ..catalog.tables import CalibrationRow, JobRow
from ..store.files import entries, remove
from ..store.footprint import footprint_of
from .parts import Parts
from .spare import SILENT_GRACES, Age, Spare


def spare_staging(parts: Parts, age: Age) -> Iterator[Spare]:
    """Files of uploads, and others, that died before they had a place."""
    yield from _old(entries(parts.settings.staging_folder), "staging", age)


def spare_imports(parts: Parts, age: Age) -> Iterator[Spare]:
    """Imports that were begun and not ended."""
    for namespace in entries(parts.settings.imports_folder):
        yield from _old(entries(namespace), "import", age)


def spare_partials(parts: Parts, age: Age) -> Iterator[Spare]:
    """Partial sums and drafts of calibrations that need them no more."""
    for folder in entries(parts.settings.partial_folder):
        with parts.catalog.reading() as session:
            row = session.get(CalibrationRow, folder.name)
            jobs = session.scalars(select(JobRow).where(JobRow.calibration_id == folder.name))
            states = {job.kind: job.state for job in jobs}
        if row is None:
            yield from _old([folder], "partial sums of no calibration", age)
        elif row.state == "expired" or (
            states.get("publish") == "done" and states.get("accumulate", "done") != "leased"
        ):
            # A publication that is done never runs again, and no other job needs its sums.
            yield _removal(folder, "partial sums of a calibration that is done")


def spare_signs_of_life(parts: Parts, age: Age) -> Iterator[Spare]:
    """Machines that have had no worker for long: each new container is one."""
    silent = entries(parts.settings.workers_folder)
    yield from _old(silent, "machine without a worker", age, SILENT_GRACES)


def _old(paths: Iterable[Path], what: str, age: Age, graces: int = 1) -> Iterator[Spare]:
    for path in paths:
        if age.is_over(footprint_of(path).changed, graces):
            yield _removal(path, what)


def _removal(path: Path, what: str) -> Spare:
    size = footprint_of(path).bytes
    return Spare(f"{what}: {path.name}", size, partial(_remove, path))


def _remove(path: Path) -> bool:
    remove(path)
    return True
