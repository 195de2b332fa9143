"""Whether the model hub can be reached, found out before minutes are spent on retries.

This module must be used before `transformers` or `datasets` is imported: they read
`HF_HUB_OFFLINE` once, and without it a hub that cannot be reached costs half a minute a file.
"""

from __future__ import annotations

import os

import httpx

OFFLINE_VARIABLE = "HF_HUB_OFFLINE"
ENDPOINT_VARIABLE = "HF_ENDPOINT"
DEFAULT_ENDPOINT = "https://huggingface.co"
_SECONDS = 5.0


def endpoint() -> str:
    """The hub's address."""
    return os.environ.get(ENDPOINT_VARIABLE, DEFAULT_ENDPOINT)


def go_offline_when_unreachable() -> bool:
    """Make the hub's libraries use their cache alone when the hub gives no answer.

    Returns:
        Whether they are offline now.
    """
    if OFFLINE_VARIABLE in os.environ:
        return os.environ[OFFLINE_VARIABLE].upper() in ("1", "TRUE", "ON", "YES")
    try:
        httpx.head(endpoint(), timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL):
        os.environ[OFFLINE_VARIABLE] = "1"
        return True
    return False
