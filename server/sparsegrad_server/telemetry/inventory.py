"""What there is, for Prometheus: looked up in the catalog and on the disk when somebody asks.

The workers' share comes from here too: what they do is in the catalog, so that one endpoint
serves for all processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import get_args

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..catalog import Catalog
from ..catalog.tables import (
    BasisRow,
    CalibrationRow,
    JobRow,
    NamespaceRow,
    PhaseRow,
    VersionRow,
)
from ..jobs.queue import JobKind


class Inventory(Collector):
    """What the catalog and the disk hold.

    Args:
        catalog: where to look.
        data: a folder on the disk.
        uploads: how many gradients and imported files are being received.
    """

    def __init__(self, catalog: Catalog, data: Path, uploads: Callable[[], int]) -> None:
        self._catalog = catalog
        self._data = data
        self._uploads = uploads

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask the catalog."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look everything up."""
        yield _gauge(
            "uploads_active", "Gradients and imported files being received.", self._uploads()
        )
        disk = shutil.disk_usage(self._data)
        yield _gauge("disk_free_bytes", "Bytes free on the disk of the data folder.", disk.free)
        yield _gauge("disk_used_bytes", "Bytes used on the disk of the data folder.", disk.used)
        with self._catalog.reading() as session:
            yield _jobs(session)
            yield _phases(session)
            yield _calibrations(session)
            yield from _totals(session)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sparsegrad_{name}", text, value=value)


def _jobs(session: Session) -> Metric:
    jobs = GaugeMetricFamily("sparsegrad_jobs", "Jobs.", labels=("kind", "state"))
    known = dict.fromkeys(product(get_args(JobKind), ("queued", "leased")), 0)  # shown when 0, too
    counted = session.execute(
        select(JobRow.kind, JobRow.state, func.count()).group_by(JobRow.kind, JobRow.state)
    )
    for key, count in (known | {(kind, state): n for kind, state, n in counted}).items():
        jobs.add_metric(key, count)
    return jobs


def _phases(session: Session) -> Metric:
    phases = SummaryMetricFamily(
        "sparsegrad_job_phase_seconds",
        "Seconds that phases of jobs took.",
        labels=("kind", "phase"),
    )
    for row in session.scalars(select(PhaseRow)):
        phases.add_metric((row.kind, row.phase), row.count, row.seconds)
    return phases


def _calibrations(session: Session) -> Metric:
    calibrations = GaugeMetricFamily("sparsegrad_calibrations", "Calibrations.", labels=("state",))
    counted = session.execute(
        select(CalibrationRow.state, func.count()).group_by(CalibrationRow.state)
    )
    for state, count in counted:
        calibrations.add_metric((state,), count)
    return calibrations


def _totals(session: Session) -> Iterator[Metric]:
    """Totals, of all namespaces: a label for each would grow with the number of teams."""
    held = session.scalar(select(func.coalesce(func.sum(NamespaceRow.bytes), 0)))
    yield _gauge("gradient_bytes", "Bytes of gradients held.", float(held or 0))
    for name, text, column in (
        ("bases", "Bases, each counted once however often it is named.", BasisRow.digest),
        ("versions", "Versions of names, deleted ones included.", VersionRow.version),
    ):
        yield _gauge(name, text, session.scalar(select(func.count(column))) or 0)
