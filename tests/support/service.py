"""A real server process for tests, over real HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import Catalog
from sparsegrad_server.settings import Settings
from sparsegrad_server.store.files import Staging, make_folder
from sparsegrad_server.store.local_gradients import LocalGradientStore
from sparsegrad_shared.tokens import Scope

# The parent listens already, so whoever connects waits until the server is there.
_SERVE = """
import sys, uvicorn
from sparsegrad_server.app import create_app
from sparsegrad_server.settings import Settings
uvicorn.run(create_app(Settings()), fd=int(sys.argv[1]), log_level="warning")
"""


@dataclass
class Service:
    """A server process over a data folder, and what a test looks into afterwards."""

    settings: Settings
    url: str
    process: subprocess.Popen[bytes]

    @property
    def catalog(self) -> Catalog:
        """The server's own database, through a connection of the test's."""
        return Catalog(self.settings.catalog_address)

    @property
    def store(self) -> LocalGradientStore:
        """The server's own gradients."""
        staging = Staging(self.settings.staging_folder)
        return LocalGradientStore(self.settings.gradients_folder, staging)

    def client(self, namespace: str = "team", scope: Scope = "write") -> httpx.Client:
        """A client with a new token."""
        secret = new_token(self.catalog, namespace, scope)
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60
        )

    def kill(self) -> None:
        """End the process at once, as the power does."""
        self.process.kill()
        self.process.wait(timeout=30)


def new_token(catalog: Catalog, namespace: str, scope: Scope) -> str:
    with catalog.writing() as session:
        return tokens.create(session, "tests", namespace, scope, datetime.now(UTC)).secret


@contextmanager
def running(data: Path, **options: object) -> Iterator[Service]:
    """A server over `data`; `options` are settings."""
    options = {"min_free_bytes": 0, **options}
    settings = Settings(data=data, **options)  # type: ignore[arg-type]
    make_folder(data)
    Catalog(settings.catalog_address).migrate()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in options.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(listener.fileno())],
            env={**os.environ, "SPARSEGRAD_DATA": str(data), **environment},
            pass_fds=[listener.fileno()],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield Service(settings, url, process)
    finally:
        process.terminate()
        process.wait(timeout=30)
