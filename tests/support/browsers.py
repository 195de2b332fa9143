"""What a browser sends to pages, without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape

import httpx

from sparsegrad_shared.tokens import Scope

from .service import Service, new_token

ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"


def visit(service: Service) -> httpx.Client:
    """A browser that nobody has signed in with; it follows no redirect by itself."""
    headers = {"Accept": ACCEPT, "Origin": service.url}
    return httpx.Client(base_url=service.url, headers=headers, timeout=60)


@contextmanager
def sign_in(
    service: Service, namespace: str = "team", scope: Scope = "read"
) -> Iterator[httpx.Client]:
    """A browser in which somebody has signed in with a new token."""
    with visit(service) as browser:
        secret = new_token(service.catalog, namespace, scope)
        answer = browser.post("/sign-in", data={"token": secret})
        assert answer.status_code == 303, answer.text
        yield browser


def words_of(page: str) -> str:
    """The text of a page, without its tags, white space in one."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def texts_to_copy(page: str) -> str:
    """What a page shows as code, each with an empty line after it."""
    return "".join(f"{unescape(text)}\n\n" for text in re.findall(r"(?s)<code>(.*?)</code>", page))
