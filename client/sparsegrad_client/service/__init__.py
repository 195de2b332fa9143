"""The HTTP client, sync and async."""

from __future__ import annotations

from .async_client import AsyncBasisService
from .client import BasisService
from .config import SERVER_VARIABLE, TOKEN_VARIABLE, ServiceConfig

__all__ = [
    "SERVER_VARIABLE",
    "TOKEN_VARIABLE",
    "AsyncBasisService",
    "BasisService",
    "ServiceConfig",
]
