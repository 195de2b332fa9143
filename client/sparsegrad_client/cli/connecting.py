"""A service for a command, with a word on what takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparsegrad_shared.terminal.progress import Phases

if TYPE_CHECKING:
    from ..embedded import EmbeddedServer
    from ..service import BasisService

STARTING = "starting the server of this machine"


@contextmanager
def connect(server: str | None) -> Iterator[BasisService]:
    """The server that is named, or the embedded one, which takes some seconds to start.

    Args:
        server: what `--server` says.

    Raises:
        ServerUnreachable: when the embedded server does not start.
    """
    from ..connection import open_service
    from ..service import ServiceConfig

    if ServiceConfig.resolve(server) is None:
        start_embedded()
    with open_service(server) as service:
        yield service


def start_embedded() -> EmbeddedServer:
    """This machine's server, which ends with this process.

    Raises:
        ServerUnreachable: when it does not start.
    """
    from ..embedded import embedded_server

    with Phases() as phases:
        phases(STARTING, 0, 0)
        return embedded_server()
