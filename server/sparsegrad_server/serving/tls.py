"""TLS, and what is said where there is none."""

from __future__ import annotations

import ipaddress
import logging
import ssl

from sparsegrad_shared.errors import InvalidInput

from ..settings import Settings

_log = logging.getLogger(__name__)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The server's side of TLS, version 1.2 or later; None when no certificate is set.

    Raises:
        InvalidInput: when the certificate or its key cannot be used; says why.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise InvalidInput(
            f"cannot use the certificate {certificate} with the key {key}: {error}; both are PEM, "
            "the key without a password and readable by this user"
        ) from None
    return context


def warn_of_plain_http(settings: Settings) -> None:
    """Say it in the log where tokens would cross a network in the clear, unless that is wanted."""
    if settings.tls_certificate is None and not settings.allow_plain_http:
        if is_loopback(settings.host):
            return
        _log.warning(
            "listening on %s without TLS: tokens and gradients cross the network in the clear. "
            "Set tls_certificate and tls_key; or, behind a proxy that has TLS, allow_plain_http",
            settings.host,
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_password() -> str:
    # Called for an encrypted key only; otherwise OpenSSL would ask at the terminal.
    raise ValueError("the key has a password")
