"""The service as processes: one command is all of it, and none of it outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.gradients import dense_frame, open_calibration, put

LOOKS, LOOK_SECONDS = 600, 0.1


@dataclass
class Embedded:
    process: subprocess.Popen[str]
    url: str
    token_file: Path

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def worker_pid(self) -> int | None:
        """The process that runs jobs beside this one."""
        task = Path(f"/proc/{self.process.pid}/task")
        children = " ".join((thread / "children").read_text() for thread in task.iterdir())
        return next((int(pid) for pid in children.split()), None)


@contextmanager
def embedded(data: Path) -> Iterator[Embedded]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sparsegrad_server", "serve", "--embedded", "--port", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SPARSEGRAD_DATA": str(data), "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Embedded(process, said["url"], Path(said["token_file"]))
    finally:
        process.kill()
        process.communicate()


def until(condition: object) -> bool:
    pause = threading.Event()
    for _ in range(LOOKS):
        if condition():  # type: ignore[operator]
            return True
        pause.wait(LOOK_SECONDS)
    return False


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def published(client: httpx.Client) -> str:
    """Calibrate, and wait for the basis."""
    calibration = open_calibration(client)
    for index in range(3):
        assert put(client, calibration, index, dense_frame(index)).status_code == 201
    job = client.post(f"/v1/calibrations/{calibration}/finish").json()["id"]
    with client.stream("GET", f"/v1/jobs/{job}/events") as events:
        last = [line for line in events.iter_lines() if line.startswith("data:")][-1]
    status = json.loads(last.removeprefix("data:"))
    assert status["state"] == "done", status
    return str(status["basis"]["digest"])


def test_one_command_takes_gradients_and_publishes_and_ends_with_its_parent(
    tmp_path: Path,
) -> None:
    with embedded(tmp_path / "data") as server:
        assert stat.S_IMODE(server.token_file.stat().st_mode) == 0o600
        with server.client() as client:
            published(client)
        worker = server.worker_pid()
        assert worker is not None
        rest, _ = server.process.communicate(timeout=60)  # closes its standard input
        assert server.process.returncode == 0
        assert rest == ""  # one line on standard output, no more
        assert until(lambda: not is_running(worker))


def test_the_token_stays_the_same_from_start_to_start(tmp_path: Path) -> None:
    with embedded(tmp_path / "data") as first:
        token = first.token_file.read_text()
    with embedded(tmp_path / "data") as second:
        assert second.token_file.read_text() == token
        with second.client() as client:
            assert client.get("/v1/bases").json()["bases"] == []


def test_an_embedded_server_answers_to_loopback_names_only(tmp_path: Path) -> None:
    with embedded(tmp_path / "data") as server, server.client() as client:
        assert client.get("/v1/bases").status_code == 200
        assert client.get("/v1/bases", headers={"Host": "evil.example"}).status_code == 403


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with embedded(tmp_path / "data") as server, server.client() as client:
        first = server.worker_pid()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert until(lambda: server.worker_pid() not in (None, first))
        published(client)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_worker_ends_with_the_server_however_that_ends(
    tmp_path: Path, number: signal.Signals
) -> None:
    with embedded(tmp_path / "data") as server:
        worker = server.worker_pid()
        assert worker is not None
        server.process.send_signal(number)
        code = server.process.wait(timeout=60)
        assert code == (-number if number == signal.SIGKILL else 0)
        assert until(lambda: not is_running(worker))
