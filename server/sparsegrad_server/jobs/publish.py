"""The job that computes a calibration's basis and publishes it.

Group by group, so that one group's matrices are in memory at a time: sum what has arrived, solve
the eigenproblems, judge the basis on the held-out gradients, write the file. Then the whole is
put in its place and given a version, which ends the job in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.bases import REPORT_FILE, BasisGroup, BasisManifest, FileEntry
from sparsegrad_shared.calibrations import GroupSpec
from sparsegrad_shared.framing import DType, Frame, RawTensor
from sparsegrad_shared.report import BasisReport, GroupReport

from ..catalog import bases, calibrations
from ..catalog.tables import GradientRow
from ..hosvd import (
    Basis,
    HeldOutReport,
    compute_basis,
    frozen_support,
    gradient_from_factors,
    spectrum_summary,
)
from ..store.bases import BasisDraft
from ..store.files import remove
from . import queue
from .lineage import lineage_digest
from .summing import fitted, held_out, sum_group
from .work import Work

SAMPLE = 8  # fitted gradients that the frozen support of the report is chosen on


def publish(work: Work) -> None:
    """Compute the basis of what has arrived, and publish it as a version.

    Raises:
        SparseGradError: when a gradient cannot be used; names it.
        Stopped: when the worker shall stop.
        LeaseLost: when the job is another worker's by now.
    """
    with work.bases.draft(work.calibration_id) as draft:
        done = [_group(work, draft, group) for group in work.manifest.groups]
        report = BasisReport(groups=tuple(report for _, report in done))
        manifest = BasisManifest(
            model=work.manifest.model,
            dataset=work.manifest.dataset,
            options=work.manifest.options,
            groups=tuple(group for group, _ in done),
            report=draft.add(REPORT_FILE, [report.model_dump_json().encode()]),
        )
        work.monitor.step("publishing", 0, 1)
        draft.publish(manifest)
    now = datetime.now(UTC)
    with work.catalog.writing() as session:
        queue.held(session, work.lease)
        calibration = calibrations.get(session, work.calibration_id)
        version = bases.publish(session, manifest, calibration, now)
        queue.complete(session, work.lease, now, version.version)
    remove(work.folder)


def _group(work: Work, draft: BasisDraft, group: GroupSpec) -> tuple[BasisGroup, GroupReport]:
    rows = work.rows(group)
    gram = sum_group(work, group, fitted(group, rows))
    counts = gram.count, gram.zero_count
    work.monitor.step(f"solving U and V of {group.name}", 0, 1)
    options = work.manifest.options
    basis = compute_basis(gram, rank=options.rank, energy=options.energy)
    del gram  # its matrices are no longer needed, and the largest things in memory
    report = _judge(work, group, basis, rows)
    work.monitor.step(f"writing {group.name}", 0, 1)
    described = BasisGroup(
        name=group.name,
        layers=group.layers,
        d_out=group.d_out,
        d_in=group.d_in,
        rank_out=basis.V.shape[1],
        rank_in=basis.U.shape[1],
        gradients=sum(counts),
        zero_gradients=counts[1],
        held_out=report.held_out,
        gradients_digest=lineage_digest(rows),
        file=_write(draft, group, basis),
    )
    return described, report


def _judge(work: Work, group: GroupSpec, basis: Basis, rows: Sequence[GradientRow]) -> GroupReport:
    """The report of a group, on its bases as they are published: in float32."""
    U, V = basis.U.astype(np.float32), basis.V.astype(np.float32)
    sample = _spread(_single(fitted(group, rows)), SAMPLE)
    unseen = _single(held_out(group, rows))
    support = None
    if sample and unseen:
        support = frozen_support(_gradients(work, group, sample, "choosing a support"), U, V)
    judged = HeldOutReport(U, V, support=support)
    for G in _gradients(work, group, unseen, "judging"):
        judged.add(G)
    return judged.report(
        group.name,
        spectrum_summary(basis.eigenvalues_in, energy=basis.energy, dimension=group.d_in),
        spectrum_summary(basis.eigenvalues_out, energy=basis.energy, dimension=group.d_out),
    )


def _gradients(
    work: Work, group: GroupSpec, rows: Sequence[GradientRow], phase: str
) -> Iterator[NDArray[Any]]:
    """Gradients D_out × D_in, one at a time, whatever form they are stored in."""
    for done, row in enumerate(rows):
        work.monitor.step(f"{phase} of {group.name}", done, len(rows))
        tensors = work.read(group, row)
        dense = "G" in tensors
        yield tensors["G"] if dense else gradient_from_factors(tensors["g"], tensors["x"])


def _single(rows: Sequence[GradientRow]) -> list[GradientRow]:
    """Those that are gradients, and not sums over many."""
    return [row for row in rows if row.form != "sums"]


def _spread(rows: Sequence[GradientRow], count: int) -> list[GradientRow]:
    """At most `count` of the rows, evenly spread."""
    step = max(1, -(-len(rows) // count))
    return list(rows[::step])


def _write(draft: BasisDraft, group: GroupSpec, basis: Basis) -> FileEntry:
    tensors = {
        "U": _raw("float32", basis.U),
        "V": _raw("float32", basis.V),
        "eigenvalues_in": _raw("float64", basis.eigenvalues_in),
        "eigenvalues_out": _raw("float64", basis.eigenvalues_out),
    }
    return draft.add(f"{group.name}.safetensors", Frame(tensors))


def _raw(dtype: DType, array: NDArray[Any]) -> RawTensor:
    values = np.ascontiguousarray(array, dtype=dtype)
    return RawTensor(dtype, values.shape, values.data)
