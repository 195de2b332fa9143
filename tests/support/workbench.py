"""A data folder with a catalog, stores and workers of its own: the server without HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegrad_server.catalog import Catalog, calibrations, gradients
from sparsegrad_server.catalog import jobs as job_rows
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_server.catalog.tables import CalibrationRow
from sparsegrad_server.jobs.queue import enqueue_publish, request_accumulation
from sparsegrad_server.jobs.worker import Worker
from sparsegrad_server.settings import Settings
from sparsegrad_server.store.files import make_folder
from sparsegrad_server.store.open import open_stores
from sparsegrad_shared.calibrations import (
    FORM_TENSORS,
    CalibrationManifest,
    DatasetSource,
    GradientForm,
    GroupSpec,
    HosvdOptions,
    ModelSource,
)
from sparsegrad_shared.framing import header_text
from sparsegrad_shared.jobs import JobStatus

from .gradients import frame

Tensors = Mapping[str, npt.NDArray[Any]]
_FORMS: dict[tuple[str, ...], GradientForm] = {names: form for form, names in FORM_TENSORS.items()}


def group_of(
    name: str = "up",
    d_out: int = 12,
    d_in: int = 8,
    gradients: int = 6,
    held_out: int = 2,
    dtype: Any = "float32",
) -> GroupSpec:
    """A small group."""
    return GroupSpec(
        name=name,
        layers=(f"encoder.0.{name}",),
        d_out=d_out,
        d_in=d_in,
        dtype=dtype,
        gradients=gradients,
        held_out=held_out,
    )


def manifest_of(
    groups: Sequence[GroupSpec], name: str = "team/tiny", **options: Any
) -> CalibrationManifest:
    """A manifest of these groups."""
    return CalibrationManifest(
        name=name,
        model=ModelSource(id="tiny", architecture="TinyModel"),
        dataset=DatasetSource(id="data", fingerprint="1"),
        groups=tuple(groups),
        options=HosvdOptions(**options),
    )


def decaying(seed: int, d_out: int = 12, d_in: int = 8, dtype: Any = np.float32) -> Tensors:
    """A gradient whose directions differ in weight, the same ones for every seed."""
    G = np.random.default_rng(seed).standard_normal((d_out, d_in))
    scales = np.multiply.outer(0.8 ** np.arange(d_out), 0.7 ** np.arange(d_in))
    return {"G": (G * scales).astype(dtype)}


class Workbench:
    """A server's parts over a data folder.

    Args:
        data: the folder.
        settings: settings that differ from the defaults.
    """

    def __init__(self, data: Path, **settings: Any) -> None:
        self.settings = Settings(data=data, **({"worker_threads": 1} | settings))
        make_folder(data)
        self.catalog = Catalog(self.settings.catalog_address)
        self.catalog.migrate()
        stores = open_stores(self.settings)
        self.gradients, self.bases = stores.gradients, stores.bases
        self.worker = Worker(self.catalog, self.gradients, self.bases, self.settings)

    def open(self, manifest: CalibrationManifest) -> str:
        """A new calibration; its id."""
        calibration_id = calibrations.new_id()
        self.gradients.create(calibration_id, manifest)
        with self.catalog.writing() as session:
            calibrations.add(session, calibration_id, manifest, "tests", datetime.now(UTC))
        return calibration_id

    def store(
        self,
        calibration_id: str,
        group: GroupSpec,
        index: int,
        tensors: Tensors,
        count: int = 1,
        zero_count: int = 0,
    ) -> None:
        """Store a gradient, as ingest does: file, row and the wish to have it summed."""
        self.gradients.write(calibration_id, group, index, tensors)
        body = frame(tensors)
        arrival = Arrival(
            digest=body.digest(),
            form=_FORMS[tuple(tensors)],
            zero=zero_count == count,
            bytes=body.size,
            count=count,
            zero_count=zero_count,
            header=header_text(next(iter(body))),
        )
        slot = Slot(calibration_id, group.name, index)
        now = datetime.now(UTC)
        with self.catalog.writing() as session:
            gradients.reserve(session, slot, arrival, "upload", now, timedelta(seconds=9))
            gradients.held(session, slot, "upload").state = "stored"
            request_accumulation(session, calibration_id)

    def store_all(
        self, calibration_id: str, group: GroupSpec, order: Iterable[int] | None = None
    ) -> None:
        """Store a gradient in every slot of a group, in that order, the slot being its seed."""
        for index in range(group.slots) if order is None else order:
            self.store(calibration_id, group, index, decaying(index, group.d_out, group.d_in))

    def finish(self, calibration_id: str) -> str:
        """Close a calibration; the job's id."""
        with self.catalog.writing() as session:
            row = session.get_one(CalibrationRow, calibration_id)
            row.state = "finished"
            row.job_id = enqueue_publish(session, calibration_id).id
            return row.job_id

    def work(self) -> None:
        """Do every job that waits."""
        stop = threading.Event()
        while self.worker.work_once(stop):
            pass

    def job(self, job_id: str) -> JobStatus:
        """A job as it is shown."""
        with self.catalog.reading() as session:
            return job_rows.status(session, *job_rows.get(session, job_id))

    def publish(
        self, manifest: CalibrationManifest, order: Iterable[int] | None = None
    ) -> JobStatus:
        """A whole calibration of one group, from its opening to its basis."""
        calibration_id = self.open(manifest)
        self.store_all(calibration_id, manifest.groups[0], order)
        job_id = self.finish(calibration_id)
        self.work()
        return self.job(job_id)
