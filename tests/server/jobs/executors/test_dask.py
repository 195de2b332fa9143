"""The Dask executor on a real cluster: strangers kept out, processes killed in the middle."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.dask_cluster import Authority, DaskCluster
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.hosvd import principal_angles
from sparsegrad_server.jobs.executors import executor_of
from sparsegrad_server.jobs.executors.cluster import ClusterLost, connect, result_of, submit
from sparsegrad_server.settings import Settings
from sparsegrad_shared.errors import InvalidInput, JobFailed

# Dask leaves the socket of a connection that was cut to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

UP = group_of("up", d_out=24, d_in=16, gradients=150, held_out=2)
DOWN = group_of("down", d_out=16, d_in=24, gradients=20, held_out=2)
MANIFEST = manifest_of([UP, DOWN])
LEADING = 6


def calibrated(bench: Workbench) -> str:
    """A finished calibration's job."""
    calibration = bench.open(MANIFEST)
    for group in MANIFEST.groups:
        for index in range(group.slots):
            bench.store(
                calibration, group, index, decaying(index, group.d_out, group.d_in, np.float32)
            )
    return bench.finish(calibration)


def digest_of(bench: Workbench, job: str) -> str:
    status = bench.job(job)
    assert status.basis is not None, status
    bench.bases.verify(status.basis.digest)
    return status.basis.digest


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test has cut off is collected before the next one begins."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def undisturbed(cluster: DaskCluster) -> str:
    """The digest that the cluster gives when nothing comes in between."""
    bench = Workbench(cluster.data, **cluster.settings)
    job = calibrated(bench)
    bench.work()
    bench.worker.close()
    return digest_of(bench, job)


class ActsAt(threading.Event):
    """Never set; does something at a job's so-many-th step."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        super().__init__()
        self._left = step
        self._act = act

    def is_set(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._act()
        return False


@pytest.mark.parametrize("step", [4, 12])
def test_a_killed_dask_worker_s_slices_are_computed_again(
    cluster: DaskCluster, on_dask: Workbench, undisturbed: str, step: int
) -> None:
    killed = ActsAt(step, lambda: cluster.restart("worker-0"))
    job = calibrated(on_dask)
    on_dask.worker.work_once(killed)
    assert killed._left <= 0, "the job ended before the worker was killed"
    on_dask.work()
    assert digest_of(on_dask, job) == undisturbed
    with on_dask.catalog.reading() as session:
        assert session.get_one(JobRow, job).attempts == 1
    cluster.wait_for_workers()


@pytest.mark.parametrize("step", [4, 12])
def test_a_killed_scheduler_costs_what_was_under_way(
    cluster: DaskCluster, on_dask: Workbench, undisturbed: str, step: int
) -> None:
    killed = ActsAt(step, cluster.restart_scheduler)
    job = calibrated(on_dask)
    on_dask.worker.work_once(killed)
    assert killed._left <= 0, "the job ended before the scheduler was killed"
    assert digest_of(on_dask, job) == undisturbed
    with on_dask.catalog.reading() as session:
        assert session.get_one(JobRow, job).attempts == 1
    cluster.wait_for_workers()


def test_a_task_that_every_worker_dies_of_fails_the_job_with_advice(cluster: DaskCluster) -> None:
    with cluster.client() as client:
        deadly = submit(client, os._exit, 1)
        with pytest.raises(JobFailed, match=r"while summing: 4 Dask workers died .* memory"):
            result_of(deadly, Unheard(), "summing", 0, 1)
    cluster.wait_for_workers()


class Unheard:
    """Nobody asks how far it is."""

    def step(self, phase: str, completed: int, total: int) -> None:
        pass


def test_a_worker_process_on_the_cluster_finds_the_subspaces_of_one_on_its_own(
    cluster: DaskCluster, on_dask: Workbench
) -> None:
    found = {}
    for executor, environment in (("dask", cluster.environment), ("local", {})):
        job = calibrated(on_dask)
        command = [sys.executable, "-m", "sparsegrad_server", "worker", "--until-input-ends"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env=os.environ
            | {"SPARSEGRAD_DATA": str(cluster.data), "SPARSEGRAD_POLL_SECONDS": "0.05"}
            | environment,
        ) as process:
            wait_for_end(on_dask, job)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0
        found[executor] = digest_of(on_dask, job)
    for group in MANIFEST.groups:
        name = f"{group.name}.safetensors"
        ours, theirs = (load_file(on_dask.bases.file(found[e], name)) for e in ("local", "dask"))
        for side in "UV":
            for rank in range(1, LEADING + 1):
                angles = principal_angles(ours[side][:, :rank], theirs[side][:, :rank])
                assert angles[-1] < 1e-6
        np.testing.assert_allclose(ours["eigenvalues_in"], theirs["eigenvalues_in"], rtol=1e-6)


def wait_for_end(bench: Workbench, job: str) -> None:
    """Look at a job until it has ended."""
    pause = threading.Event()
    for _ in range(2400):
        if bench.job(job).state in ("done", "failed"):
            return
        pause.wait(0.05)
    raise AssertionError(f"the job came no further: {bench.job(job)}")


def stranger(cluster: DaskCluster, tmp_path: Path) -> dict[str, Path]:
    """A certificate of another authority, with the cluster's to check the cluster by."""
    issued = Authority(tmp_path / "other").issue("stranger")
    return {**issued, "dask_authority": cluster.authority.path}


def test_a_client_with_another_authority_s_certificate_is_refused(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    settings = Settings(**{**cluster.settings, **stranger(cluster, tmp_path)}, data=tmp_path)
    with pytest.raises(ClusterLost):
        connect(settings)


def test_a_dask_worker_with_another_authority_s_certificate_is_refused(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    process = cluster.spawn("worker-2", stranger(cluster, tmp_path))
    try:
        process.wait(timeout=120)
        with cluster.client() as client:
            assert len(client.scheduler_info()["workers"]) == 2
    finally:
        cluster.end(process)
    assert process.returncode not in (0, None)


def test_who_shows_no_certificate_at_all_is_refused(cluster: DaskCluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.authority.path))
    host, port = cluster.address.removeprefix("tls://").split(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        # With TLS 1.3 a server looks at the client's certificate after the client's handshake.
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        secured.recv(1)


def test_a_plain_connection_is_refused(cluster: DaskCluster, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dask_scheduler"):
        Settings(data=tmp_path, executor="dask", dask_scheduler="tcp://127.0.0.1:8786")
    with pytest.raises(ValueError, match="expected dask_scheduler"):
        Settings(data=tmp_path, executor="dask")


def test_a_certificate_that_is_not_there_is_named(cluster: DaskCluster, tmp_path: Path) -> None:
    missing = {**cluster.settings, "dask_key": tmp_path / "none.key"}
    with pytest.raises(InvalidInput, match="dask_key"):
        connect(Settings(data=tmp_path, **missing))
    executor_of(Settings(data=tmp_path, **missing)).close()  # nothing is opened before it is needed
