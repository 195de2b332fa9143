"""What every executor promises, each held to the same suite."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.hosvd import principal_angles
from sparsegrad_server.hosvd.reference import reference_hosvd
from sparsegrad_server.store.gradients import Array
from sparsegrad_shared.bases import REPORT_FILE, BasisManifest
from sparsegrad_shared.calibrations import CalibrationManifest, GroupSpec
from sparsegrad_shared.errors import CorruptFile, JobFailed, NoGradients
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.report import BasisReport

# More than a block of slices in one group, less than a slice in another.
UP = group_of("up", d_out=12, d_in=8, gradients=75, held_out=3, dtype="float64")
DOWN = group_of("down", d_out=8, d_in=12, gradients=5, held_out=1, dtype="float64")
MANIFEST = manifest_of([UP, DOWN])


def gradient(group: GroupSpec, index: int) -> dict[str, Array]:
    return dict(decaying(index, group.d_out, group.d_in, dtype=np.float64))


def factored(group: GroupSpec, index: int) -> dict[str, Array]:
    left, values, right = np.linalg.svd(gradient(group, index)["G"], full_matrices=False)
    return {"g": np.ascontiguousarray((left * values).T), "x": np.ascontiguousarray(right)}


def summed(group: GroupSpec, index: int) -> dict[str, Array]:
    G = gradient(group, index)["G"]
    return {"A_in": G.T @ G, "A_out": G @ G.T}


Form = Callable[[GroupSpec, int], Mapping[str, Array]]


def calibrated(
    bench: Workbench, manifest: CalibrationManifest = MANIFEST, form: Form = gradient
) -> str:
    """A calibration with a gradient in every slot, not finished."""
    calibration = bench.open(manifest)
    for group in manifest.groups:
        for index in range(group.slots):
            bench.store(calibration, group, index, form(group, index))
    return calibration


def finished(bench: Workbench, calibration: str) -> JobStatus:
    """The publication's job, once it has ended."""
    job = bench.finish(calibration)
    bench.work()
    return bench.job(job)


def basis_of(bench: Workbench, job: JobStatus) -> tuple[BasisManifest, dict[str, dict[str, Any]]]:
    """A published basis, held to its digests, and the tensors of each group."""
    assert job.state == "done", job.error
    assert job.basis is not None
    manifest = bench.bases.verify(job.basis.digest)
    tensors = {
        group.name: load_file(bench.bases.file(manifest.digest(), group.file.name))
        for group in manifest.groups
    }
    return manifest, tensors


@pytest.mark.parametrize("form", [gradient, factored, summed])
def test_each_group_s_basis_is_the_one_that_tensorly_finds(bench: Workbench, form: Form) -> None:
    manifest, tensors = basis_of(bench, finished(bench, calibrated(bench, form=form)))
    assert [group.name for group in manifest.groups] == ["up", "down"]
    for group in (UP, DOWN):
        reference = reference_hosvd([gradient(group, i)["G"] for i in range(group.gradients)])
        assert manifest.group(group.name).gradients == group.gradients
        for side, expected in (("U", reference.U), ("V", reference.V)):
            found = tensors[group.name][side]
            for rank in (1, 3, 5):
                assert principal_angles(found[:, :rank], expected[:, :rank])[-1] < 1e-6
        np.testing.assert_allclose(
            tensors[group.name]["eigenvalues_in"], reference.eigenvalues_in, rtol=1e-9, atol=1e-12
        )


def test_the_report_is_of_the_held_out_gradients(bench: Workbench) -> None:
    job = finished(bench, calibrated(bench))
    assert job.basis is not None, job.error
    text = bench.bases.file(job.basis.digest, REPORT_FILE).read_text()
    report = BasisReport.model_validate_json(text)
    assert [(group.name, group.held_out) for group in report.groups] == [("up", 3), ("down", 1)]
    assert all(group.frozen_support is not None for group in report.groups)


class StopsAfter(threading.Event):
    """The wish to stop, which comes at a job's so-many-th step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def is_set(self) -> bool:
        self._steps -= 1
        return self._steps < 0

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(timeout) or self._steps < 0


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(1, 40), min_size=1, max_size=3), data=st.data())
def test_the_same_gradients_give_the_same_digest_whatever_their_order_and_however_often_it_stopped(
    bench: Workbench, stops: list[int], data: st.DataObject
) -> None:
    undisturbed = finished(bench, calibrated(bench))
    calibration = bench.open(MANIFEST)
    slots = [(group, index) for group in (UP, DOWN) for index in range(group.slots)]
    seed = data.draw(st.integers(0, 99))
    for done, place in enumerate(np.random.default_rng(seed).permutation(len(slots))):
        group, index = slots[place]
        bench.store(calibration, group, index, gradient(group, index))
        if done % 29 == seed % 29:  # a worker sums what has arrived
            bench.work()
    job = bench.finish(calibration)
    for steps in stops:
        bench.worker.work_once(StopsAfter(steps))
    bench.work()
    assert bench.job(job).basis is not None, bench.job(job).error
    assert basis_of(bench, bench.job(job))[0] == basis_of(bench, undisturbed)[0]


def test_a_damaged_gradient_fails_the_job_by_name(bench: Workbench) -> None:
    calibration = calibrated(bench)
    chunk = bench.settings.gradients_folder / calibration / "up" / "dense" / "c.70.0.0"
    sound = chunk.read_bytes()
    chunk.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    failed = finished(bench, calibration)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.type == CorruptFile.type_uri()
    assert "up/70" in failed.error.detail
    chunk.write_bytes(sound)
    assert finished(bench, calibration).state == "done"


def test_gradients_that_are_all_zero_fail_the_job_by_what_they_are(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([DOWN]))
    bench.store(calibration, DOWN, 0, {"G": np.zeros((8, 12))}, zero_count=1)
    failed = finished(bench, calibration)
    assert failed.error is not None
    assert failed.error.type == NoGradients.type_uri()


def test_a_group_that_needs_more_memory_than_there_is_fails_the_job_with_advice(
    bench: Workbench,
) -> None:
    # Both workers may use 1 GiB: the eigenproblem alone takes some 2.5 GiB.
    bench.worker._settings = bench.settings.model_copy(update={"worker_memory_bytes": 1 << 30})
    large = group_of("large", d_out=8192, d_in=4, gradients=1, held_out=0)
    calibration = bench.open(manifest_of([large]))
    bench.store(calibration, large, 0, {"G": np.ones((8192, 4), np.float32)})
    failed = finished(bench, calibration)
    assert failed.error is not None
    assert failed.error.type == JobFailed.type_uri()
    assert "group large needs" in failed.error.detail
    assert "rank" in failed.error.detail
