"""A service on PostgreSQL and a bucket, copied as `docs/backup.md` says and restored elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from httpx_sse import connect_sse
from support.gradients import dense_frame, open_calibration, put
from support.object_storage import Bucket, new_bucket
from support.postgres import Postgres
from support.requirements import missing
from support.servers import RunningServer

GRADIENTS = 10  # those of a calibration, held-out ones too
BEFORE = 6  # those that the backup holds

Settings = Mapping[str, Any]


@pytest.fixture
def places(postgres: Postgres, s3_endpoint: str) -> Iterator[tuple[Settings, Settings]]:
    """Two services' settings: a database and a bucket each."""
    with ExitStack() as stack:
        buckets = [stack.enter_context(new_bucket(s3_endpoint)) for _ in range(2)]
        urls = [stack.enter_context(postgres.database()) for _ in range(2)]
        of_each = [
            {"catalog_url": url, "min_free_bytes": 0, **bucket.settings}
            for url, bucket in zip(urls, buckets, strict=True)
        ]
        yield of_each[0], of_each[1]
        for bucket in buckets:
            bucket.remove()


def client_of(server: RunningServer, token: str | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token or server.token}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=60)


def send(client: httpx.Client, calibration: str, indices: range) -> None:
    for index in indices:
        assert put(client, calibration, index, dense_frame(index)).status_code == 201


def published(client: httpx.Client, calibration: str) -> str:
    """Finish a calibration; the digest of its basis."""
    job = client.post(f"/v1/calibrations/{calibration}/finish").json()["id"]
    with connect_sse(client, "GET", f"/v1/jobs/{job}/events", timeout=120) as events:
        last = [json.loads(event.data) for event in events.iter_sse() if event.data][-1]
    assert last["state"] == "done", last
    return str(last["basis"]["digest"])


def copy_database(source: str, target: str, file: Path) -> None:
    if shutil.which("pg_dump") is None:
        missing("postgresql", "put pg_dump and pg_restore on the PATH")
    dump = ["pg_dump", "--format=custom", f"--file={file}", source]
    restore = ["pg_restore", "--no-owner", f"--dbname={target}", str(file)]
    for command in (dump, restore):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


def copy_objects(source: Settings, target: Settings) -> int:
    """As `rclone sync` does, between two prefixes; how many there were."""
    stores = [_bucket(settings).store("team") for settings in (source, target)]
    keys = [found["path"] for page in obstore.list(stores[0]) for found in page]
    for key in keys:
        obstore.put(stores[1], key, obstore.get(stores[0], key).bytes())
    return len(keys)


def _bucket(settings: Settings) -> Bucket:
    name = settings["storage_url"].removeprefix("s3://").partition("/")[0]
    return Bucket(settings["storage_endpoint"], name)


def check(settings: Settings, data: Path) -> subprocess.CompletedProcess[str]:
    given = {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "sparsegrad_server", "check", "--data", str(data)]
    return subprocess.run(
        command, env=os.environ | given, capture_output=True, text=True, check=False
    )


def test_what_was_restored_checks_out_and_goes_on_where_the_backup_was_made(
    places: tuple[Settings, Settings], tmp_path: Path
) -> None:
    original, restored = places
    with RunningServer(tmp_path / "original", **original) as server, client_of(server) as client:
        done, begun = open_calibration(client), open_calibration(client)
        send(client, done, range(GRADIENTS))
        before = published(client, done)
        send(client, begun, range(BEFORE))
        copy_database(original["catalog_url"], restored["catalog_url"], tmp_path / "catalog.dump")
        # What comes while the files are copied has no row in the copy; it is sent again later.
        send(client, begun, range(BEFORE, GRADIENTS))
        assert copy_objects(original, restored) > GRADIENTS
        after = published(client, begun)
        token = server.token

    data = tmp_path / "restored"
    refused = check(restored, data)
    assert refused.returncode != 0
    assert f"there is no folder {data}" in refused.stderr
    data.mkdir()
    looked = check(restored, data)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    with (
        RunningServer(data, **restored) as server,
        client_of(server, token) as client,
    ):
        version = client.get("/v1/bases/team/tiny/versions/1").json()
        assert version["digest"] == before
        send(client, begun, range(BEFORE, GRADIENTS))
        assert published(client, begun) == after
