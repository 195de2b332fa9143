"""A database or a storage that goes away for a while: 503, then on from where it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from support.calibrations import begin
from support.gradients import dense_frame, put
from support.object_storage import Bucket
from support.postgres import Postgres
from support.service import running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_shared.errors import Unavailable

# Enough that a job takes a second or more when every partial sum is kept.
GROUP = group_of(d_out=200, d_in=120, gradients=60, held_out=1)
LOOK_SECONDS = 0.02
LONGEST_SECONDS = 120.0


def assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["type"]) == (503, Unavailable.type_uri()), answer.text
    assert int(answer.headers["retry-after"]) >= 1


def test_a_service_whose_database_restarts_says_so_and_goes_on(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    with (
        running(tmp_path / "data", catalog_url=postgres_url) as service,
        service.client() as client,
    ):
        calibration = begin(service, client)
        postgres.stop()
        try:
            assert_unavailable(put(client, calibration.id, 1, dense_frame(1)))
            assert_unavailable(client.get(f"/v1/calibrations/{calibration.id}"))
            assert client.get("/livez").status_code == 200
            assert client.get("/readyz").status_code == 503
        finally:
            postgres.start()
        calibration.assert_intact()
        assert put(client, calibration.id, 1, dense_frame(1)).status_code == 201
        calibration.assert_intact(0, 1)
        assert client.get("/readyz").status_code == 200


def test_a_restart_between_two_requests_is_not_noticed(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    with (
        running(tmp_path / "data", catalog_url=postgres_url) as service,
        service.client() as client,
    ):
        calibration = begin(service, client)
        postgres.stop()
        postgres.start()
        assert put(client, calibration.id, 1, dense_frame(1)).status_code == 201
        calibration.assert_intact(0, 1)


@contextmanager
def worker(bench: Workbench) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sparsegrad_server", "worker", "--data", str(bench.settings.data)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "SPARSEGRAD_CATALOG_URL": bench.settings.catalog_address,
            "SPARSEGRAD_WORKER_THREADS": "1",
            "SPARSEGRAD_LEASE_SECONDS": "2",
            "SPARSEGRAD_PARTIAL_SECONDS": "0",
            "SPARSEGRAD_POLL_SECONDS": "0.05",
        },
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def wait_for(bench: Workbench, job_id: str, *states: str) -> JobRow:
    pause = threading.Event()
    for _ in range(int(LONGEST_SECONDS / LOOK_SECONDS)):
        with bench.catalog.reading() as session:
            row = session.get_one(JobRow, job_id)
        if row.state in states:
            return row
        pause.wait(LOOK_SECONDS)
    raise AssertionError(f"the job came no further: {row.state}, {row.phase}, {row.completed}")


def test_a_worker_outlives_its_database_and_publishes_the_same(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    bench = Workbench(tmp_path / "data", catalog_url=postgres_url)
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    job = bench.finish(calibration)
    with worker(bench):
        wait_for(bench, job, "leased")
        postgres.stop()
        postgres.start()
        wait_for(bench, job, "done", "failed")
    published = bench.job(job).basis
    undisturbed = bench.publish(manifest_of([GROUP], name="team/undisturbed")).basis
    assert published is not None
    assert undisturbed is not None
    assert published.digest == undisturbed.digest
    bench.bases.verify(published.digest)
    bench.catalog.close()


def test_a_service_whose_bucket_is_away_says_so_and_goes_on(tmp_path: Path, bucket: Bucket) -> None:
    with running(tmp_path / "data", **bucket.settings) as service, service.client() as client:
        calibration = begin(service, client)
        bucket.remove()
        assert_unavailable(put(client, calibration.id, 1, dense_frame(1)))
        assert calibration.arrived() == [0]
        bucket.make()
        begin(service, client).assert_stored([0])


def test_a_server_whose_bucket_is_not_there_says_so_at_its_start(
    tmp_path: Path, bucket: Bucket
) -> None:
    settings = {**bucket.settings, "storage_url": "s3://nobody-made-this"}
    given = {f"SPARSEGRAD_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "sparsegrad_server", "serve", "--data", str(tmp_path), "--port=0"],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "NoSuchBucket; see storage_url" in done.stderr.splitlines()[-1]
    assert "testing-secret" not in done.stderr
