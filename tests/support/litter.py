"""A service in which something of every kind is left over, beside things that are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import select

from sparsegrad_server.catalog import aliases, gradients, versions
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_server.catalog.tables import (
    CalibrationRow,
    GradientRow,
    NamespaceRow,
    VersionRow,
)
from sparsegrad_server.checkup.findings import Finding, Notes
from sparsegrad_server.checkup.parts import Parts

from .workbench import Tensors, Workbench, decaying, group_of, manifest_of

GROUP = group_of(gradients=4, held_out=2)
KEPT_ALIAS = "production"


@dataclass(frozen=True)
class Litter:
    """What there is.

    Attributes:
        bench: the service.
        kept: a calibration whose basis an alias names.
        digest: of that basis.
        under_way: a calibration that is still open, with gradients in slots 0 and 1.
        busy: one whose time has passed, but whose job has not been done yet.
        expired: one whose time has passed, with gradients in slots 0 and 1.
        deleted: the digest of a basis whose one version was deleted.
    """

    bench: Workbench
    kept: str
    digest: str
    under_way: str
    busy: str
    expired: str
    deleted: str

    def assert_named_is_there(self) -> None:
        """What rows, versions and aliases name is there, bit for bit."""
        for calibration, indices in (
            (self.kept, range(GROUP.slots)),
            (self.under_way, range(2)),
            (self.busy, range(2)),
        ):
            for index in indices:
                found = self.bench.gradients.read(calibration, GROUP, index, "dense")["G"]
                np.testing.assert_array_equal(found, decaying(index)["G"], strict=True)
        self.bench.bases.verify(self.digest)

    def lying(self) -> set[tuple[str, int, str]]:
        """What lies in slots, whatever it is: calibration, index and form."""
        store = self.bench.gradients
        return {
            (name, held.index, held.form)
            for name in store.calibrations()
            for held in store.holdings(name)
        }

    def named(self) -> set[tuple[str, int, str]]:
        """What should lie in slots."""
        with self.bench.catalog.reading() as session:
            rows = session.scalars(select(GradientRow).where(GradientRow.state == "stored"))
            return {(row.calibration_id, row.index, row.form) for row in rows}

    def bytes_counted(self) -> tuple[int, int]:
        """What the namespace's quota counts, and the sum of its gradients."""
        with self.bench.catalog.reading() as session:
            counted = session.get_one(NamespaceRow, "team").bytes
            return counted, sum(row.bytes for row in session.scalars(select(GradientRow)))


def parts_of(bench: Workbench) -> Parts:
    """What check and gc look at."""
    return Parts(bench.settings, bench.catalog, bench.gradients, bench.bases)


def collected() -> tuple[list[Finding], Notes]:
    """Notes, and the list that their findings go to."""
    findings: list[Finding] = []
    return findings, Notes(findings.append)


def scatter(bench: Workbench) -> Litter:
    """Leave something of every kind lying about, all of it a day old as the catalog tells."""
    kept, digest = _published(bench, "team/kept", seed=0)
    _, deleted = _published(bench, "team/deleted", seed=100)
    now, yesterday = datetime.now(UTC), datetime.now(UTC) - timedelta(days=1)
    under_way, expired, busy = (
        bench.open(manifest_of([GROUP], name=f"team/{name}"))
        for name in ("open", "expired", "busy")
    )
    for calibration in (under_way, expired):
        bench.store_all(calibration, GROUP, range(2))
    bench.work()
    bench.store_all(busy, GROUP, range(2))
    with bench.catalog.writing() as session:
        for calibration in (expired, busy):
            session.get_one(CalibrationRow, calibration).expires = yesterday
        aliases.move(
            session, "team", "kept", KEPT_ALIAS, version=1, expected=None, by="tests", now=now
        )
        versions.delete(session, versions.held(session, "team", "deleted", 1), yesterday)
    _leave_in_slots(bench, under_way, yesterday)
    _leave_in_stores(bench)
    for path in _left_in_folders(bench):
        path.mkdir(parents=True)
        (path / "half").write_bytes(b"half")
    return Litter(bench, kept, digest, under_way, busy, expired, deleted)


def _published(bench: Workbench, name: str, seed: int) -> tuple[str, str]:
    calibration = bench.open(manifest_of([GROUP], name=name))
    for index in range(GROUP.slots):
        bench.store(calibration, GROUP, index, decaying(seed + index))
    job = bench.finish(calibration)
    bench.work()
    basis = bench.job(job).basis
    assert basis is not None
    return calibration, basis.digest


def _factors() -> Tensors:
    chance = np.random.default_rng(9)
    return {
        "g": chance.standard_normal((3, GROUP.d_out), dtype=np.float32),
        "x": chance.standard_normal((3, GROUP.d_in), dtype=np.float32),
    }


def _leave_in_slots(bench: Workbench, calibration: str, yesterday: datetime) -> None:
    """Of uploads that died: before their row, after their file, beside a stored gradient."""
    for index in (2, 4):
        bench.gradients.write(calibration, GROUP, index, _factors())
    bench.gradients.write(calibration, GROUP, 0, _factors())
    arrival = Arrival("sha256:dead", "dense", zero=False, bytes=400, count=1, zero_count=0)
    with bench.catalog.writing() as session:
        for index in (3, 4):
            slot = Slot(calibration, GROUP.name, index)
            gradients.reserve(session, slot, arrival, "dead", yesterday, timedelta(seconds=1))


def _leave_in_stores(bench: Workbench) -> None:
    bench.gradients.create("cal-of-nobody", manifest_of([GROUP]))
    bench.gradients.write("cal-of-nobody", GROUP, 0, decaying(0))


def _left_in_folders(bench: Workbench) -> Iterator[Path]:
    settings = bench.settings
    yield settings.staging_folder / "dead-upload"
    yield settings.partial_folder / "import-of-a-dead-server" / "draft"
    yield settings.partial_folder / _calibration(bench) / "sums" / GROUP.name
    yield settings.imports_folder / "team" / ("0" * 64)
    if settings.storage_url is None:
        yield settings.bases_folder / f"{'1' * 64}.0123.deleted"
        yield settings.bases_folder / f"{'2' * 64}.damaged-20260101T000000000000"


def _calibration(bench: Workbench) -> str:
    """One whose basis is published."""
    with bench.catalog.reading() as session:
        calibration = session.scalars(select(VersionRow.calibration_id)).first()
    assert calibration is not None
    return calibration
