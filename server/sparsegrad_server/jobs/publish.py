"""The job that computes a calibration's basis and publishes it.

The executor computes: it sums what has arrived, solves the eigenproblems, judges the basis on the
held-out gradients. Each group's file is written as it is done. Then the whole is put in its place
and given a version, which ends the job in the same transaction.
"""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import REPORT_FILE, BasisGroup, BasisManifest, FileEntry
from sparsegrad_shared.calibrations import GroupSpec
from sparsegrad_shared.framing import DType, Frame, RawTensor
from sparsegrad_shared.report import BasisReport, GroupReport

from ..catalog import bases, calibrations
from ..store.bases import BasisDraft
from ..store.files import tidy
from . import queue
from .executors.base import GroupResult
from .lineage import lineage_digest
from .work import Work


def publish(work: Work) -> None:
    """Compute the basis of what has arrived, and publish it as a version.

    Raises:
        SparseGradError: when a gradient cannot be used, or there is not the memory; says which.
        Stopped: when the worker shall stop.
        LeaseLost: when the job is another worker's by now.
    """
    done: dict[str, tuple[BasisGroup, GroupReport]] = {}
    with work.bases.draft(work.calibration_id) as draft:

        def take(group: GroupSpec, result: GroupResult) -> None:
            done[group.name] = _described(work, draft, group, result), result.report

        work.executor.compute(work, take)
        groups = [done[group.name] for group in work.manifest.groups]
        report = BasisReport(groups=tuple(report for _, report in groups))
        manifest = BasisManifest(
            model=work.manifest.model,
            dataset=work.manifest.dataset,
            options=work.manifest.options,
            groups=tuple(group for group, _ in groups),
            report=draft.add(REPORT_FILE, [report.model_dump_json().encode()]),
        )
        work.monitor.step("publishing", 0, 1)
        work.monitor.patiently(lambda: draft.publish(manifest))
    work.write(lambda session: _complete(session, work, manifest))
    tidy(work.folder)


def _complete(session: Session, work: Work, manifest: BasisManifest) -> None:
    now = datetime.now(UTC)
    queue.held(session, work.lease)
    calibration = calibrations.get(session, work.calibration_id)
    version = bases.publish(session, manifest, calibration, now)
    if not work.bases.holds(version.digest):
        # It lay there unnamed from an earlier attempt, and `gc` took it before it had this name.
        raise FileNotFoundError(errno.ENOENT, "the basis was just removed; publishing it anew")
    queue.complete(session, work.lease, now, version.version)


def _described(work: Work, draft: BasisDraft, group: GroupSpec, result: GroupResult) -> BasisGroup:
    return BasisGroup(
        name=group.name,
        layers=group.layers,
        d_out=group.d_out,
        d_in=group.d_in,
        rank_out=result.V.shape[1],
        rank_in=result.U.shape[1],
        gradients=result.count + result.zero_count,
        zero_gradients=result.zero_count,
        held_out=result.report.held_out,
        gradients_digest=lineage_digest(work.rows(group)),
        file=_write(draft, group, result),
    )


def _write(draft: BasisDraft, group: GroupSpec, result: GroupResult) -> FileEntry:
    tensors = {
        "U": _raw("float32", result.U),
        "V": _raw("float32", result.V),
        "eigenvalues_in": _raw("float64", result.eigenvalues_in),
        "eigenvalues_out": _raw("float64", result.eigenvalues_out),
    }
    return draft.add(f"{group.name}.safetensors", Frame(tensors))


def _raw(dtype: DType, array: NDArray[Any]) -> RawTensor:
    values = np.ascontiguousarray(array, dtype=dtype)
    return RawTensor(dtype, values.shape, values.data)
