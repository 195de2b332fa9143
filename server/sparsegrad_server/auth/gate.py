"""The gate: whose token a request shows, and whether it comes too often.

What has no valid checksum is refused without a look into the catalog. What has one costs a look,
so that those that turn out to be no good are counted for each address: after some, the address is
answered 429 for a while, but for tokens that were good a moment ago, since many people may share
an address.

A token is looked up by its SHA-256. How long that takes tells nothing of use: whoever could
choose hashes that come ever closer to a stored one would have to invert SHA-256.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from datetime import datetime

from sparsegrad_shared.errors import Overloaded, Unauthenticated

from ..catalog import Catalog
from . import sessions, tokens
from .limits import Allowance, Limits, Rate
from .principal import Principal
from .use import TokenUse

KNOWN_TOKENS = 10_000
IPV6_SUBSCRIBER = 64  # bits of an IPv6 address that one subscriber has to himself come after these


class Gate:
    """Lets requests in by their tokens.

    Args:
        catalog: where the tokens are.
        requests: how often each token may come.
        failures: how often each address may show a token that is not good.
    """

    def __init__(self, catalog: Catalog, requests: Rate, failures: Rate) -> None:
        self.use = TokenUse(catalog)
        self._catalog = catalog
        self._requests = Limits(requests)
        self._failures = Limits(failures)
        self._good: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def enter(
        self, secret: str, address: str, now: datetime, clock: float
    ) -> tuple[Principal, Allowance]:
        """The holder of a token, and what it may still do.

        Args:
            secret: the token.
            address: where it was sent from.
            now: the time, for expiry.
            clock: seconds of a clock that only goes forward, for the limits.

        Raises:
            Unauthenticated: when the token is not good.
            Overloaded: when it, or bad ones from the same address, come too often.
        """
        digest = tokens.digest_of(secret)
        source = subscriber(address)
        if digest not in self._good:
            self._check_source(source, clock)
        try:
            with self._catalog.reading() as session:
                principal = tokens.find(session, digest, now)
        except Unauthenticated:
            self._forget(digest)
            self._failures.take(source, clock)
            raise
        self._remember(digest)
        self.use.note(principal.token_id, now)
        return principal, self._requests.take(principal.token_id, clock)

    def resume(self, secret: str, now: datetime, clock: float) -> tuple[Principal, Allowance]:
        """The holder of a session, and what its token may still do.

        Nothing is counted for the address: browsers show sessions that have ended, and nobody
        guesses 256 bits.

        Args:
            secret: what the browser's cookie holds.
            now: the time, for expiry.
            clock: seconds of a clock that only goes forward, for the limits.

        Raises:
            Unauthenticated: when the session, or its token, has ended.
        """
        with self._catalog.reading() as session:
            principal = sessions.find(session, secret, now)
        self.use.note(principal.token_id, now)
        return principal, self._requests.take(principal.token_id, clock)

    def _check_source(self, source: str, clock: float) -> None:
        allowance = self._failures.look(source, clock)
        if not allowance.granted:
            raise Overloaded(
                "too many tokens that are not good came from this address; come again later",
                retry_after=allowance.retry_after,
            )

    def _remember(self, digest: str) -> None:
        with self._lock:
            self._good[digest] = None
            self._good.move_to_end(digest)
            if len(self._good) > KNOWN_TOKENS:
                self._good.popitem(last=False)

    def _forget(self, digest: str) -> None:
        with self._lock:
            self._good.pop(digest, None)


def subscriber(address: str) -> str:
    """The part of an address that one subscriber cannot change at will."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SUBSCRIBER), strict=False))
