"""Settings and fixtures that all of the client's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import RunningServer


@pytest.fixture
def client_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client's folder of the test's own, and no server named by the environment."""
    monkeypatch.setenv("SPARSEGRAD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SPARSEGRAD_SERVER", raising=False)
    monkeypatch.delenv("SPARSEGRAD_TOKEN", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def team_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One real server that tests share; each publishes under names of its own."""
    with RunningServer(tmp_path_factory.mktemp("team") / "data") as server:
        yield server
