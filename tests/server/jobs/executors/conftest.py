"""Each executor over a data folder; one Dask cluster for all tests, since it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dask_cluster import DaskCluster
from support.workbench import Workbench


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers."""
    folder = tmp_path_factory.mktemp("cluster")
    with DaskCluster(folder / "data", folder / "certificates") as running:
        running.wait_for_workers()
        yield running


@pytest.fixture
def on_dask(cluster: DaskCluster) -> Iterator[Workbench]:
    """The server's parts, with a worker that computes on the cluster."""
    bench = Workbench(cluster.data, **cluster.settings)
    yield bench
    bench.worker.close()


@pytest.fixture
def on_local(tmp_path: Path) -> Workbench:
    """The server's parts, with a worker that computes itself, on two threads."""
    return Workbench(tmp_path / "data", worker_threads=2)


@pytest.fixture(params=["local", "dask"])
def bench(request: pytest.FixtureRequest) -> Workbench:
    """The server's parts, with each executor."""
    found: Workbench = request.getfixturevalue(f"on_{request.param}")
    return found
