"""Which tokens the holder of one may make."""

from __future__ import annotations

from datetime import datetime

from sparsegrad_shared.errors import Forbidden
from sparsegrad_shared.tokens import TokenRequest

from .principal import Principal


def check_grant(principal: Principal, wanted: TokenRequest) -> datetime | None:
    """Hold a wanted token to be no broader than the one that asks for it, in time neither.

    Returns:
        When it ends; None when never.

    Raises:
        Forbidden: when it is for another namespace, has a higher scope, or lives longer.
    """
    principal.require("admin")
    principal.check(wanted.namespace)
    principal.require(wanted.scope)
    if principal.expires is None:
        return wanted.expires
    if wanted.expires is not None and wanted.expires > principal.expires:
        raise Forbidden(
            f"token {principal.name!r} ends at {principal.expires:%Y-%m-%d %H:%M} UTC, and can "
            f"make none that ends later; asked for {wanted.expires:%Y-%m-%d %H:%M} UTC"
        )
    return wanted.expires or principal.expires
