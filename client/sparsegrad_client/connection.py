"""A service to speak to: the team's server when one is named, the embedded one otherwise."""

from __future__ import annotations

from .embedded import embedded_server
from .service import BasisService, ServiceConfig

EMBEDDED = "embedded"


def open_service(server: str | None = None, token: str | None = None) -> BasisService:
    """Connect to `server`, to `SPARSEGRAD_SERVER`, or to the embedded server.

    Args:
        server: the server's address.
        token: proves who asks; `SPARSEGRAD_TOKEN` when None.

    Returns:
        A service, which is a context manager.

    Raises:
        InvalidInput: when the address is none.
        MissingExtra: when the embedded server is meant and not installed.
        ServerUnreachable: when the embedded server does not start.
    """
    return BasisService(ServiceConfig.resolve(server, token) or embedded_server().config)


def server_name(server: str | None = None) -> str:
    """What the server that is meant is called; the embedded one has no lasting address."""
    config = ServiceConfig.resolve(server)
    return EMBEDDED if config is None else config.url
