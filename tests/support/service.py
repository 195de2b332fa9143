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
from functools import cached_property
from pathlib import Path

import httpx

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import Catalog
from sparsegrad_server.settings import Settings
from sparsegrad_server.store.files import make_folder
from sparsegrad_server.store.gradients import GradientStore
from sparsegrad_server.store.open import Stores, open_stores
from sparsegrad_shared.tokens import Scope

# The parent listens already, so whoever connects waits until the server is there.
_SERVE = """
import functools, sys, uvicorn
from sparsegrad_server.app import create_app
from sparsegrad_server.serving.protocol import Protocol
from sparsegrad_server.settings import Settings
settings = Settings()
http = functools.partial(Protocol, head_seconds=settings.head_seconds)
uvicorn.run(
    create_app(settings), fd=int(sys.argv[1]), http=http, loop="asyncio", log_level="warning"
)
"""


@dataclass
class Service:
    """A server process over a data folder, and what a test looks into afterwards."""

    settings: Settings
    url: str
    process: subprocess.Popen[bytes]

    @cached_property
    def catalog(self) -> Catalog:
        """The server's own database, through connections of the test's."""
        return Catalog(self.settings.catalog_address)

    @cached_property
    def stores(self) -> Stores:
        """The server's own gradients and bases."""
        return open_stores(self.settings)

    @property
    def store(self) -> GradientStore:
        """The server's own gradients."""
        return self.stores.gradients

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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in options.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(listener.fileno())],
            env={**os.environ, "SPARSEGRAD_DATA": str(data), **environment},
            pass_fds=[listener.fileno()],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    service = Service(settings, url, process)
    try:
        service.catalog.migrate()
        yield service
    finally:
        service.catalog.close()
        process.terminate()
        process.wait(timeout=30)
