"""One calibration on every database and every storage, by settings alone: the same bases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from httpx_sse import connect_sse
from safetensors.numpy import load
from support.gradients import frame, put
from support.object_storage import Bucket
from support.servers import RunningServer
from support.service import running

from sparsegrad_server.hosvd import principal_angles
from sparsegrad_shared.digests import digest_of

GRADIENTS, HELD_OUT = 6, 2
SHAPES = {"up": (40, 24), "down": (24, 40)}
RANK = 5
BASES: Mapping[str, dict[str, Any]] = {"full": {}, "truncated": {"rank": RANK}}

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Computed:
    """What a service published: its digest, and the tensors of its files as they were sent."""

    digest: str
    groups: dict[str, Tensors]


def settings_of(combination: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    database, storage = combination.split("+")
    settings: dict[str, Any] = {"min_free_bytes": 0}
    if database == "postgresql":
        settings["catalog_url"] = request.getfixturevalue("postgres_url")
    if storage == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        settings |= bucket.settings
    return settings


def gradient(group: str, index: int) -> Tensors:
    """Dense, factored and summed gradients by turns, whose directions differ in weight."""
    d_out, d_in = SHAPES[group]
    random = np.random.default_rng([index, d_out])
    g = random.standard_normal((7, d_out)) * 0.9 ** np.arange(d_out)
    x = random.standard_normal((7, d_in)) * 0.8 ** np.arange(d_in)
    if index % 3 == 1:
        return {"g": g.astype(np.float32), "x": x.astype(np.float32)}
    G = g.T @ x
    if index % 3 == 2 and index < GRADIENTS:
        return {"A_in": G.T @ G, "A_out": G @ G.T}
    return {"G": G.astype(np.float32)}


def calibrate(client: httpx.Client, name: str) -> Computed:
    """A whole calibration over HTTP."""
    manifest = {
        "name": f"team/{name}",
        "model": {"id": "tiny", "architecture": "TinyModel"},
        "dataset": {"id": "data", "fingerprint": "1"},
        "groups": [
            {
                "name": group,
                "layers": [f"encoder.0.{group}"],
                "d_out": d_out,
                "d_in": d_in,
                "dtype": "float32",
                "gradients": GRADIENTS,
                "held_out": HELD_OUT,
            }
            for group, (d_out, d_in) in SHAPES.items()
        ],
        "options": BASES[name],
    }
    opened = client.post("/v1/calibrations", json=manifest)
    assert opened.status_code == 201, opened.text
    calibration = opened.json()["id"]
    for group in SHAPES:
        for index in range(GRADIENTS + HELD_OUT):
            tensors = gradient(group, index)
            sums = {"count": "1"} if "A_in" in tensors else {}
            sent = put(client, calibration, index, b"".join(frame(tensors, **sums)), group)
            assert sent.status_code == 201, sent.text
    job = client.post(f"/v1/calibrations/{calibration}/finish").json()["id"]
    with connect_sse(client, "GET", f"/v1/jobs/{job}/events", timeout=120) as events:
        last = [json.loads(event.data) for event in events.iter_sse() if event.data][-1]
    assert last["state"] == "done", last
    return fetched(client, name)


def fetched(client: httpx.Client, name: str) -> Computed:
    """The files of a version, held to the digests of its manifest."""
    version = client.get(f"/v1/bases/team/{name}/versions/1").json()
    groups = {}
    for group in version["manifest"]["groups"]:
        address = f"/v1/bases/team/{name}/versions/1/files/{group['file']['name']}"
        whole = client.get(address).content
        assert digest_of([whole]) == group["file"]["digest"]
        part = client.get(address, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole[10:20])
        groups[group["name"]] = load(whole)
    return Computed(version["digest"], groups)


def assert_same(found: Computed, expected: Computed) -> None:
    """The same bytes, and so the same subspaces; both are looked at."""
    for group, tensors in expected.groups.items():
        for side in ("U", "V"):
            angles = principal_angles(found.groups[group][side][:, :RANK], tensors[side][:, :RANK])
            assert angles.max() < 1e-6
    assert found.digest == expected.digest


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Computed]:
    """What the defaults give: SQLite, and a local folder."""
    data = tmp_path_factory.mktemp("defaults") / "data"
    with RunningServer(data, min_free_bytes=0) as server, client_of(server) as client:
        return {name: calibrate(client, name) for name in BASES}


@contextmanager
def client_of(server: RunningServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


@pytest.mark.parametrize("combination", ["postgresql+disk", "sqlite+s3", "postgresql+s3"])
def test_the_same_gradients_give_the_same_bases(
    combination: str,
    expected: dict[str, Computed],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    settings = settings_of(combination, request)
    with RunningServer(tmp_path / "data", **settings) as server, client_of(server) as client:
        for name in BASES:
            assert_same(calibrate(client, name), expected[name])
        server.kill()
        server.start()
        for name in BASES:
            assert_same(fetched(client, name), expected[name])
    kept = {path.name for path in (tmp_path / "data").iterdir() if any(path.rglob("*.safetensors"))}
    assert ("bases" in kept) == combination.endswith("disk")


@contextmanager
def worker_elsewhere(data: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """A worker that shares a database and a bucket with the server, and no folder."""
    given = {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "sparsegrad_server", "worker", "--data", str(data)],
        env=os.environ | given | {"OMP_NUM_THREADS": "1", "SPARSEGRAD_POLL_SECONDS": "0.1"},
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_workers_with_folders_of_their_own_do_every_job(
    expected: dict[str, Computed], tmp_path: Path, postgres_url: str, bucket: Bucket
) -> None:
    settings = {"catalog_url": postgres_url, "min_free_bytes": 0, **bucket.settings}
    with running(tmp_path / "server", **settings) as service, service.client() as client:
        with worker_elsewhere(tmp_path / "one", settings):
            assert_same(calibrate(client, "full"), expected["full"])
        with worker_elsewhere(tmp_path / "another", settings):
            assert_same(calibrate(client, "truncated"), expected["truncated"])
