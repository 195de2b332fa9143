"""No path and no URL that a client sends is ever opened: the server process itself is watched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from support.gradients import dense_frame, manifest, put
from support.service import new_token
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_shared.digests import content_digest, digest_of

# Python itself tells of what is opened and where connections go (PEP 578), whoever asks for it.
_WATCHED = """
import json, os, sys
watch = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
FILES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir",
         "os.link", "os.symlink", "os.chmod", "os.truncate", "shutil.rmtree", "sqlite3.connect"}
OUTSIDE = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec",
           "urllib.Request", "http.client.connect"}
def note(event, arguments):
    if event in FILES or event in OUTSIDE:
        what = [repr(a) if not isinstance(a, (str, bytes)) else os.fsdecode(a) for a in arguments]
        os.write(watch, json.dumps([event, what]).encode() + b"\\n")
import uvicorn
from sparsegrad_server.app import create_app
from sparsegrad_server.settings import Settings
app = create_app(Settings())
sys.addaudithook(note)
uvicorn.run(app, fd=int(sys.argv[1]), log_level="warning")
"""

FILES = ("open", "os.", "shutil.", "sqlite3.")  # and not, of these, what starts programs
PROGRAMS = ("os.system", "os.exec")
BAIT = "bait-that-nobody-may-touch"


class Watched:
    """A server process whose every opening is written down.

    Attributes:
        url: where it answers.
        bench: its data folder.
    """

    def __init__(self, url: str, bench: Workbench, record: Path) -> None:
        self.url = url
        self.bench = bench
        self._record = record

    def events(self) -> list[tuple[str, list[str]]]:
        """What happened so far."""
        return [tuple(json.loads(line)) for line in self._record.read_text().splitlines()]


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    bench = Workbench(folder / "data")
    assert bench.publish(manifest_of([group_of()])).state == "done"
    record = folder / "record"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", _WATCHED, str(listener.fileno()), str(record)],
            env=os.environ | {
                "SPARSEGRAD_DATA": str(bench.settings.data), "SPARSEGRAD_MIN_FREE_BYTES": "0",
            },
            pass_fds=[listener.fileno()],
        )  # fmt: skip
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        assert httpx.get(f"{url}/livez", timeout=120).status_code == 200
        yield Watched(url, bench, record)
    finally:
        process.terminate()
        process.wait(timeout=60)


def hostile_names(bait: Path, port: int) -> list[str]:
    """Names as whoever wants something opened would send them."""
    path = str(bait)
    steps = "../" * 12 + path.lstrip("/")
    return [
        path,
        steps,
        steps.replace("../", "..\\"),
        f"....//....//{BAIT}",
        f"up/../../../{BAIT}",
        f"{steps}\0.safetensors",
        f"file://{path}",
        f"http://127.0.0.1:{port}/{BAIT}",
        f"\\\\127.0.0.1@{port}\\{BAIT}",
        f"s3://{BAIT}/key",
        f"sqlite:///{path}",
        f"${{jndi:ldap://127.0.0.1:{port}/{BAIT}}}",
        f"|cat {path}",
        f"$(cat {path})",
        quote(steps, safe=""),
        "..",
        ".",
        "~root",
        "zarr.json",
        f"up.safetensors/../{BAIT}",
    ]


def attack(client: httpx.Client, name: str, calibration: str, digest: str) -> None:
    """Send a name wherever a client may send one; whatever comes back, it is no fault of ours."""
    encoded = quote(name, safe="")
    body = b"".join(dense_frame(0))
    digests = {"Content-Digest": content_digest(digest_of([body])), "If-None-Match": "*"}
    answers = [
        client.get(f"/v1/calibrations/{encoded}"),
        put(client, encoded, 0, dense_frame(0)),
        put(client, calibration, 0, dense_frame(0), group=encoded),
        client.post(f"/v1/calibrations/{encoded}/finish"),
        client.get(f"/v1/jobs/{encoded}"),
        client.get("/v1/bases", params={"ref": name, "model": name}),
        client.get("/v1/bases", params={"name": name}),
        client.get(f"/v1/bases/{encoded}/diff/{digest}"),
        client.get(f"/v1/bases/team/{encoded}/versions/1"),
        client.get(f"/v1/bases/{encoded}/tiny/versions/1"),
        client.get(f"/v1/bases/team/tiny/versions/1/files/{encoded}"),
        client.put(f"/v1/bases/team/tiny/aliases/{encoded}", json={"version": 1}, headers=digests),
        client.put(f"/v1/bases/team/tiny/versions/1/tags/{encoded}"),
        client.put(f"/v1/bases/team/{encoded}/imports/{digest}", json={}),
        client.put(
            f"/v1/bases/team/new/imports/{digest}/files/{encoded}", content=body, headers=digests
        ),
        client.delete(f"/v1/tokens/{encoded}"),
        client.get("/v1/audit", params={"token": name, "action": name}),
        client.get(f"/{encoded}"),
        client.get("/livez", headers={"X-Forwarded-For": encoded, "X-Request-Id": encoded}),
        client.post("/v1/tokens", json={"name": name, "namespace": name}),
    ]
    for wrong in (
        {"name": name},
        {"name": f"team/{name}"},
        {"model": {"id": name, "architecture": name, "revision": name}},
        {"dataset": {"id": name, "fingerprint": name}},
        {"groups": [manifest(name=name)["groups"][0]]},
        {"groups": [manifest(layers=[name])["groups"][0]]},
    ):
        body_of_it: dict[str, Any] = manifest() | wrong
        answers.append(client.post("/v1/calibrations", json=body_of_it))
    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []


def test_nothing_that_a_client_names_is_opened_or_connected_to(tmp_path: Path) -> None:
    bait = tmp_path / BAIT
    bait.write_text("secret")
    with (
        socket.create_server(("127.0.0.1", 0)) as trap,
        watched(tmp_path) as server,
        httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {new_token(server.bench.catalog, '*', 'admin')}"},
            timeout=60,
        ) as client,
    ):
        trap.setblocking(False)
        answer = client.post("/v1/calibrations", json=manifest())
        calibration = answer.json()["id"]
        (basis,) = client.get("/v1/bases").json()["bases"]
        # The hook sees what it should: an honest request is in the record.
        assert put(client, calibration, 1, dense_frame(1)).status_code == 201
        assert any(calibration in " ".join(what) for _, what in server.events())

        for name in hostile_names(bait, trap.getsockname()[1]):
            attack(client, name, calibration, basis["digest"])

        with pytest.raises(BlockingIOError):
            trap.accept()
        data = str(server.bench.settings.data)
        outside = []
        for event, what in server.events():
            assert BAIT not in " ".join(what), (event, what)
            if (
                not event.startswith(FILES)
                or event.startswith(PROGRAMS)
                or not is_ours(what[0], data)
            ):
                outside.append((event, what))
        assert outside == []
    assert bait.read_text() == "secret"


def is_ours(path: str, data: str) -> bool:
    """Whether a path is in the data folder, is an open file, or is the program's own."""
    if path.lstrip("-").isdigit() or path.startswith(data):
        return ".." not in path
    program = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))
    return path.startswith((*program, "/proc/", "/sys/", "/dev/", "file:" + data))
