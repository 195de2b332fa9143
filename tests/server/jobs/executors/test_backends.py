"""The Dask executor with PostgreSQL and object storage, against the local one with the defaults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from support.dask_cluster import DaskCluster
from support.object_storage import Bucket
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.hosvd import principal_angles

GROUP = group_of(d_out=24, d_in=16, gradients=70, held_out=2)
LEADING = 6


def basis_by(bench: Workbench) -> dict[str, np.ndarray]:
    calibration = bench.open(manifest_of([GROUP]))
    for index in range(GROUP.slots):
        bench.store(calibration, GROUP, index, decaying(index, GROUP.d_out, GROUP.d_in))
    job = bench.finish(calibration)
    bench.work()
    status = bench.job(job)
    bench.worker.close()
    bench.catalog.close()
    assert status.basis is not None, status
    bench.bases.verify(status.basis.digest)
    return load_file(bench.bases.file(status.basis.digest, "up.safetensors"))


def test_subspaces_are_those_of_the_local_executor_on_disk(
    tmp_path: Path, bucket: Bucket, postgres_url: str
) -> None:
    ours = basis_by(Workbench(tmp_path / "local"))
    # The Dask workers have an empty folder: what they read comes from the bucket.
    with DaskCluster(tmp_path / "dask", tmp_path / "certificates", **bucket.settings) as cluster:
        settings = {**cluster.settings, **bucket.settings, "catalog_url": postgres_url}
        theirs = basis_by(Workbench(tmp_path / "leader", **settings))
    for side in "UV":
        for rank in range(1, LEADING + 1):
            angles = principal_angles(ours[side][:, :rank], theirs[side][:, :rank])
            assert angles[-1] < 1e-6
    np.testing.assert_allclose(ours["eigenvalues_in"], theirs["eigenvalues_in"], rtol=1e-6)
