"""Which server, with which token, and how patient to be with it."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from sparsegrad_shared.errors import InvalidInput

SERVER_VARIABLE = "SPARSEGRAD_SERVER"
TOKEN_VARIABLE = "SPARSEGRAD_TOKEN"  # noqa: S105 - the variable's name, not a token


@dataclass(frozen=True)
class ServiceConfig:
    """How to reach a server.

    Attributes:
        url: where the server is, ``http://`` or ``https://``.
        token: proves who asks; never shown in `repr`.
        connect_seconds: time for a connection to be made.
        answer_seconds: time without a byte from the server before it counts as gone. An upload is
            answered only when it is on disk, so this covers the server's fsync.
        patience: seconds to go on trying to reach a server that has answered before.
        busy_patience: seconds to go on obeying a server that says "come again later"; without end
            by default.

    Raises:
        InvalidInput: when `url` is not an address of a server.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    connect_seconds: float = 10.0
    answer_seconds: float = 120.0
    patience: float = 60.0
    busy_patience: float = math.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _checked(self.url))
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise InvalidInput("the token has characters that no token has; was it cut or quoted?")
        if self.token and self.url.startswith("http://") and not self.is_loopback:
            warnings.warn(
                f"the token travels unencrypted to {self.url}; use https:// beyond a network "
                "that you trust",
                stacklevel=3,
            )

    @classmethod
    def resolve(cls, server: str | None = None, token: str | None = None) -> ServiceConfig | None:
        """The server that is meant: the arguments win over `SPARSEGRAD_SERVER`, `SPARSEGRAD_TOKEN`.

        Returns:
            None when no server is named: the embedded one is meant.
        """
        url = server or os.environ.get(SERVER_VARIABLE)
        if not url:
            return None
        return cls(url, token or os.environ.get(TOKEN_VARIABLE) or None)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is not a port
    except ValueError as error:
        raise InvalidInput(f"not the address of a server: {url!r}: {error}") from None
    if parts.username or parts.password:
        # Said without the address: it holds a secret.
        raise InvalidInput(
            f"the server's address holds a user or password; pass a token, or set {TOKEN_VARIABLE}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"expected an address such as http://host:8000; got {url!r}")
    if parts.query or parts.fragment:
        raise InvalidInput(f"a server's address ends with its path; got {url!r}")
    return url.rstrip("/")
