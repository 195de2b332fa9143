"""From gradients to a published basis: the same gradients, the same digest; the right basis."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.hosvd import principal_angles
from sparsegrad_server.hosvd.reference import reference_hosvd
from sparsegrad_server.jobs import queue
from sparsegrad_shared.bases import MANIFEST_FILE, REPORT_FILE, BasisManifest
from sparsegrad_shared.errors import CorruptFile, Problem
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.report import BasisReport

GROUP = group_of(gradients=10, held_out=2)


def basis_of(bench: Workbench, job: JobStatus) -> tuple[BasisManifest, dict[str, Any]]:
    """What a job published: its manifest, held to all its digests, and the tensors of `up`."""
    assert job.state == "done", job.error
    assert job.basis is not None
    manifest = bench.bases.verify(job.basis.digest)
    return manifest, load_file(bench.bases.file(job.basis.digest, "up.safetensors"))


def digest_of(job: JobStatus) -> str:
    assert job.basis is not None, job.error
    return job.basis.digest


def test_the_basis_is_the_one_that_tensorly_finds(bench: Workbench) -> None:
    group = group_of(gradients=10, held_out=2, dtype="float64")
    calibration = bench.open(manifest_of([group]))
    gradients = [decaying(seed, dtype=np.float64)["G"] for seed in range(group.slots)]
    for index, G in enumerate(gradients):
        bench.store(calibration, group, index, {"G": G})
    job = bench.finish(calibration)
    bench.work()
    manifest, tensors = basis_of(bench, bench.job(job))
    reference = reference_hosvd(gradients[: group.gradients])
    for side, expected, values in (
        ("U", reference.U, reference.eigenvalues_in),
        ("V", reference.V, reference.eigenvalues_out),
    ):
        found = tensors[side]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-5)
        name = "eigenvalues_in" if side == "U" else "eigenvalues_out"
        np.testing.assert_allclose(tensors[name], values, rtol=1e-9)
        for rank in (1, 3, 5):
            assert principal_angles(found[:, :rank], expected[:, :rank])[-1] < 1e-5
    assert manifest.group("up").rank_in == group.d_in
    assert manifest.group("up").rank_out == group.d_out


def test_arrival_order_changes_nothing(tmp_path: Path, undisturbed: str) -> None:
    bench = Workbench(tmp_path / "data", partial_seconds=0)
    calibration = bench.open(manifest_of([GROUP]))
    shuffled = np.random.default_rng(0).permutation(GROUP.slots)
    for index in shuffled:  # a worker looks after every arrival, and keeps every partial sum
        bench.store_all(calibration, GROUP, [int(index)])
        bench.work()
    job = bench.finish(calibration)
    bench.work()
    assert digest_of(bench.job(job)) == undisturbed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the basis when nothing comes in between."""
    bench = Workbench(tmp_path_factory.mktemp("undisturbed") / "data")
    return digest_of(bench.publish(manifest_of([GROUP])))


@settings(max_examples=6)
@given(stops=st.lists(st.integers(1, 16), min_size=1, max_size=4))
def test_a_job_that_was_stopped_anywhere_goes_on_to_the_same_digest(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: str, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("stopped")
    bench = Workbench(folder / "data")
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    job = bench.finish(calibration)
    for steps in stops:
        bench.worker.work_once(StopsAfter(steps))
    bench.work()
    assert digest_of(bench.job(job)) == undisturbed


class StopsAfter(threading.Event):
    """The wish to stop, which comes at a job's so-many-th step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def is_set(self) -> bool:
        self._steps -= 1
        return self._steps < 0


class BreaksAfter(StopsAfter):
    """What a machine is for a job that meets an error at its so-many-th step there."""

    def is_set(self) -> bool:
        if super().is_set():
            raise OSError("the machine was taken away")
        return False


def test_a_job_that_gets_further_each_time_outlasts_more_errors_than_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: str
) -> None:
    monkeypatch.setattr(queue, "FIRST_REST_SECONDS", 0)
    bench = Workbench(tmp_path / "data", partial_seconds=0)
    calibration = bench.open(manifest_of([GROUP]))
    for index in reversed(range(GROUP.slots)):  # none is summed before all are there
        bench.store(calibration, GROUP, index, decaying(index))
    job = bench.finish(calibration)
    for _ in range(GROUP.gradients):
        bench.worker.work_once(BreaksAfter(2))
        assert bench.job(job).state == "queued"
    assert GROUP.gradients > queue.MAX_ATTEMPTS
    bench.work()
    assert digest_of(bench.job(job)) == undisturbed


def test_a_partial_sum_that_was_damaged_changes_nothing(bench: Workbench, undisturbed: str) -> None:
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    bench.work()
    (path,) = (bench.settings.partial_folder / calibration / "sums" / "up").iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    job = bench.finish(calibration)
    bench.work()
    assert digest_of(bench.job(job)) == undisturbed
    assert not (bench.settings.partial_folder / calibration).exists()


@pytest.mark.parametrize(
    ("options", "ranks"),
    [({"rank": 3}, (3, 3)), ({"energy": 0.9}, None), ({"normalize": "frobenius"}, (12, 8))],
)
def test_options_reach_the_basis(
    bench: Workbench, options: dict[str, Any], ranks: tuple[int, int] | None
) -> None:
    job = bench.publish(manifest_of([GROUP], **options))
    manifest, tensors = basis_of(bench, job)
    group = manifest.group("up")
    assert tensors["V"].shape == (12, group.rank_out)
    assert tensors["U"].shape == (8, group.rank_in)
    assert len(tensors["eigenvalues_in"]) == group.rank_in
    if ranks is not None:
        assert (group.rank_out, group.rank_in) == ranks
    whole = [decaying(seed)["G"].astype(np.float64) for seed in range(GROUP.gradients)]
    if options.get("normalize"):
        whole = [G / np.linalg.norm(G) for G in whole]
    reference = reference_hosvd(whole)
    np.testing.assert_allclose(
        tensors["eigenvalues_in"], reference.eigenvalues_in[: group.rank_in], rtol=1e-5
    )
    if options.get("energy"):
        shares = np.cumsum(reference.eigenvalues_in) / reference.eigenvalues_in.sum()
        assert shares[group.rank_in - 1] >= 0.9 > shares[group.rank_in - 2]


def as_factors(seed: int, dtype: Any) -> dict[str, Any]:
    G = decaying(seed, dtype=np.float64)["G"]
    left, values, right = np.linalg.svd(G, full_matrices=False)
    return {
        "g": np.ascontiguousarray((left * values).T).astype(dtype),
        "x": np.ascontiguousarray(right).astype(dtype),
    }


def as_sums(seed: int, dtype: Any) -> dict[str, Any]:
    G = decaying(seed, dtype=np.float64)["G"]
    return {"A_in": (G.T @ G).astype(dtype), "A_out": (G @ G.T).astype(dtype)}


@pytest.mark.parametrize("form", [as_factors, as_sums])
def test_every_form_of_the_same_gradients_gives_the_same_basis(
    bench: Workbench, form: Callable[[int, Any], dict[str, Any]]
) -> None:
    group = group_of(gradients=10, held_out=2, dtype="float64")
    calibration = bench.open(manifest_of([group]))
    for index in range(group.slots):
        bench.store(calibration, group, index, form(index, np.float64))
    job = bench.finish(calibration)
    bench.work()
    manifest, tensors = basis_of(bench, bench.job(job))
    dense = [decaying(seed, dtype=np.float64)["G"] for seed in range(group.gradients)]
    reference = reference_hosvd(dense)
    np.testing.assert_allclose(
        tensors["eigenvalues_out"][:8], reference.eigenvalues_out[:8], rtol=1e-9
    )
    assert principal_angles(tensors["V"][:, :3], reference.V[:, :3])[-1] < 1e-5
    assert manifest.group("up").gradients == group.gradients
    # A sum over many has no entries of its own to judge on.
    assert manifest.group("up").held_out == (0 if form is as_sums else group.held_out)


def test_bfloat16_gradients_are_summed_as_they_were_stored(bench: Workbench) -> None:
    group = group_of(gradients=6, held_out=0, dtype="bfloat16")
    calibration = bench.open(manifest_of([group]))
    gradients = [decaying(seed, dtype=ml_dtypes.bfloat16)["G"] for seed in range(6)]
    for index, G in enumerate(gradients):
        bench.store(calibration, group, index, {"G": G})
    job = bench.finish(calibration)
    bench.work()
    _, tensors = basis_of(bench, bench.job(job))
    reference = reference_hosvd([G.astype(np.float64) for G in gradients])
    np.testing.assert_allclose(tensors["eigenvalues_in"], reference.eigenvalues_in, rtol=1e-5)


def test_a_sum_over_many_counts_as_many(bench: Workbench) -> None:
    group = group_of(gradients=2, held_out=0, dtype="float64")
    calibration = bench.open(manifest_of([group]))
    for index, seeds in enumerate((range(3), range(3, 8))):
        parts = [as_sums(seed, np.float64) for seed in seeds]
        summed = {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}
        bench.store(calibration, group, index, summed, count=len(parts) + 1, zero_count=1)
    job = bench.finish(calibration)
    bench.work()
    manifest, tensors = basis_of(bench, bench.job(job))
    assert (manifest.group("up").gradients, manifest.group("up").zero_gradients) == (10, 2)
    reference = reference_hosvd([decaying(seed, dtype=np.float64)["G"] for seed in range(8)])
    np.testing.assert_allclose(tensors["eigenvalues_in"], reference.eigenvalues_in, rtol=1e-9)


def test_missing_slots_are_passed_over_and_zeros_counted(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP, [7, 3, 9])
    bench.store(calibration, GROUP, 5, {"G": np.zeros((12, 8), np.float32)}, zero_count=1)
    job = bench.finish(calibration)
    bench.work()
    manifest, tensors = basis_of(bench, bench.job(job))
    group = manifest.group("up")
    assert (group.gradients, group.zero_gradients, group.held_out) == (4, 1, 0)
    reference = reference_hosvd([decaying(seed)["G"].astype(np.float64) for seed in (3, 7, 9)])
    np.testing.assert_allclose(tensors["eigenvalues_in"], reference.eigenvalues_in, rtol=1e-5)


def test_the_report_is_of_the_held_out_gradients(bench: Workbench) -> None:
    job = bench.publish(manifest_of([GROUP]))
    assert job.basis is not None
    text = bench.bases.file(job.basis.digest, REPORT_FILE).read_text()
    (report,) = BasisReport.model_validate_json(text).groups
    assert report.held_out == GROUP.held_out
    assert report.frozen_support is not None
    assert report.basis is not None
    assert report.original is not None
    assert 0 < report.frozen_support <= report.basis.energy <= 1


def test_the_same_content_is_the_same_version_and_other_content_the_next(
    bench: Workbench,
) -> None:
    manifest = manifest_of([GROUP])
    first, again = bench.publish(manifest), bench.publish(manifest)
    assert first.basis == again.basis
    assert first.basis is not None
    assert first.basis.version == 1
    other = bench.publish(manifest_of([GROUP], rank=2))
    assert other.basis is not None
    assert (other.basis.name, other.basis.version) == (first.basis.name, 2)
    elsewhere = bench.publish(manifest_of([GROUP], name="team/other"))
    assert elsewhere.basis is not None
    assert (elsewhere.basis.version, elsewhere.basis.digest) == (1, first.basis.digest)


def test_a_damaged_gradient_fails_the_job_by_name_and_a_mended_one_lets_it_finish(
    bench: Workbench, undisturbed: str
) -> None:
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    chunk = bench.settings.gradients_folder / calibration / "up" / "dense" / "c.3.0.0"
    sound = chunk.read_bytes()
    chunk.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    job = bench.finish(calibration)
    bench.work()
    failed = bench.job(job)
    assert failed.state == "failed"
    assert isinstance(failed.error, Problem)
    assert failed.error.type == CorruptFile.type_uri()
    assert "up/3" in failed.error.detail
    assert list(bench.settings.bases_folder.iterdir()) == []
    chunk.write_bytes(sound)
    assert bench.finish(calibration) == job
    bench.work()
    assert digest_of(bench.job(job)) == undisturbed


def test_nothing_of_a_published_basis_is_left_half_done(bench: Workbench) -> None:
    job = bench.publish(manifest_of([GROUP]))
    (folder,) = bench.settings.bases_folder.iterdir()
    assert f"sha256:{folder.name}" == digest_of(job)
    names = {path.name for path in folder.iterdir()}
    assert names == {MANIFEST_FILE, REPORT_FILE, "up.safetensors"}
    assert list(bench.settings.partial_folder.iterdir()) == []
    assert list(bench.settings.staging_folder.iterdir()) == []


def test_groups_are_computed_side_by_side_with_no_mixing(bench: Workbench) -> None:
    groups = [group_of("up", 12, 8), group_of("down", 8, 12)]
    calibration = bench.open(manifest_of(groups))
    for group in groups:
        bench.store_all(calibration, group)
    job = bench.finish(calibration)
    bench.work()
    manifest, _ = basis_of(bench, bench.job(job))
    alone = bench.publish(manifest_of(groups[:1], name="team/alone"))
    expected, _ = basis_of(bench, alone)
    assert manifest.group("up") == expected.group("up")
    assert (manifest.group("down").d_out, manifest.group("down").d_in) == (8, 12)
