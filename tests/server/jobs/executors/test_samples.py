"""The picture of a held-out gradient in a published report, by every executor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.hosvd.sample import binned
from sparsegrad_server.store.gradients import Array
from sparsegrad_shared.bases import REPORT_FILE
from sparsegrad_shared.report import BasisReport, GradientSample

GROUP = group_of("up", d_out=12, d_in=8, gradients=4, held_out=2, dtype="float64")


def gradient(index: int) -> Array:
    return decaying(index, GROUP.d_out, GROUP.d_in, dtype=np.float64)["G"]


def as_factors(index: int) -> dict[str, Array]:
    left, values, right = np.linalg.svd(gradient(index), full_matrices=False)
    return {"g": np.ascontiguousarray((left * values).T), "x": np.ascontiguousarray(right)}


def as_sums(index: int) -> dict[str, Array]:
    G = gradient(index)
    return {"A_in": G.T @ G, "A_out": G @ G.T}


def sample_of(
    bench: Workbench, slots: Mapping[int, Mapping[str, Array]], rank: int | None = None
) -> GradientSample | None:
    """The picture in the report of a basis of these gradients."""
    calibration = bench.open(manifest_of([GROUP], rank=rank))
    for index, tensors in slots.items():
        bench.store(calibration, GROUP, index, tensors)
    job = bench.finish(calibration)
    bench.work()
    basis = bench.job(job).basis
    assert basis is not None, bench.job(job).error
    text = bench.bases.file(basis.digest, REPORT_FILE).read_text()
    (group,) = BasisReport.model_validate_json(text).groups
    return group.sample


def test_it_is_of_the_first_held_out_gradient_in_either_form(bench: Workbench) -> None:
    fitted = {index: {"G": gradient(index)} for index in range(4)}
    dense = sample_of(bench, fitted | {4: {"G": gradient(4)}, 5: {"G": gradient(5)}}, rank=5)
    factored = sample_of(bench, fitted | {4: as_factors(4), 5: as_factors(5)}, rank=5)
    assert dense is not None
    assert factored is not None
    for one, other in ((dense.original, factored.original), (dense.basis, factored.basis)):
        assert one.top_by_rows == other.top_by_rows
        assert one.top_by_columns == other.top_by_columns
        assert one.energy == pytest.approx(other.energy)
        np.testing.assert_allclose(one.shares(), other.shares(), rtol=0.13, atol=1e-9)
    expected = np.square(gradient(4)) / np.square(gradient(4)).sum()
    np.testing.assert_allclose(dense.original.shares(), binned(expected), rtol=0.06, atol=1e-12)
    assert (dense.basis.rows, dense.basis.columns) == (5, 5)


def test_sums_have_no_picture_but_for_the_gradients_beside_them(bench: Workbench) -> None:
    sums = {index: as_sums(index) for index in range(6)}
    assert sample_of(bench, sums) is None
    beside = sample_of(bench, sums | {5: {"G": gradient(5)}})
    assert beside is not None
    assert beside.original.energy == pytest.approx(1)
