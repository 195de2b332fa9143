"""What a browser sends to pages, without one."""

from __future__ import annotations

import re
from html import unescape

import httpx

from .service import Service, new_token

ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"


def visit(service: Service) -> httpx.Client:
    """A browser that nobody has signed in with; it follows no redirect by itself."""
    headers = {"Accept": ACCEPT, "Origin": service.url}
    return httpx.Client(base_url=service.url, headers=headers, timeout=60)


def sign_in(service: Service, namespace: str = "team", scope: str = "read") -> httpx.Client:
    """A browser in which somebody has signed in with a new token."""
    browser = visit(service)
    secret = new_token(service.catalog, namespace, scope)  # type: ignore[arg-type]
    answer = browser.post("/sign-in", data={"token": secret})
    assert answer.status_code == 303, answer.text
    return browser


def words_of(page: str) -> str:
    """The text of a page, without its tags, white space in one."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))
