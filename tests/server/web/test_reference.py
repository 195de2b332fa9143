"""The page of the interface: whole in one answer, without scripts, and nothing in it is markup."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest
from support.service import Service

from sparsegrad_server.web.reference import render_reference


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.styles: list[str] = []
        self.words = ""
        self._in_style = False
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [
            value or "" for name, value in attrs if name in ("href", "src", "action")
        ]
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)
        else:
            self.words += data


@pytest.fixture(scope="module")
def answer(service: Service) -> httpx.Response:
    answer = httpx.get(f"{service.url}/docs", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer


def test_every_route_and_schema_is_on_the_page(service: Service, answer: httpx.Response) -> None:
    openapi = httpx.get(f"{service.url}/openapi.json", timeout=60).json()
    words = Page(answer.text).words
    assert all(path in words for path in openapi["paths"])
    assert all(name in words for name in openapi["components"]["schemas"])


def test_the_page_runs_nothing_and_asks_no_other_host(answer: httpx.Response) -> None:
    page = Page(answer.text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert set(page.addresses) >= {"openapi.json"}
    assert all(re.fullmatch(r"/|openapi\.json|#[\w.-]+", to) for to in page.addresses)


def test_the_policy_allows_the_page_s_own_style_and_nothing_else(answer: httpx.Response) -> None:
    (style,) = Page(answer.text).styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy.pop("style-src") == f"'sha256-{digest}'"
    assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert set(policy.values()) == {"'none'"}


def test_links_within_the_page_lead_somewhere(answer: httpx.Response) -> None:
    anchors = set(re.findall(r' id="([^"]+)"', answer.text))
    wanted = {to.removeprefix("#") for to in Page(answer.text).addresses if to.startswith("#")}
    assert wanted
    assert wanted <= anchors


def test_no_text_of_the_description_becomes_markup() -> None:
    evil = '<script>alert("1")</script>"&'
    schema = {
        "description": evil,
        "required": [],
        "properties": {
            evil: {"type": evil, "description": evil},
            "choice": {"enum": [evil]},
            "either": {"anyOf": [{"type": evil}, {"$ref": f"#/components/schemas/{evil}"}]},
            "many": {"type": "array", "items": {"type": evil}},
        },
    }
    operation = {
        "tags": [evil],
        "summary": evil,
        "description": evil,
        "parameters": [{"name": evil, "in": evil, "schema": {"type": evil}, "description": evil}],
        "requestBody": {"description": evil, "content": {evil: {"schema": {"type": evil}}}},
        "responses": {"200": {"description": evil, "content": {evil: {}}}},
    }
    page = Page(
        render_reference(
            {
                "info": {"title": evil, "version": evil},
                "paths": {f"/{evil}": {"get": operation}},
                "components": {"schemas": {evil: schema}},
            }
        )
    )
    assert "script" not in page.tags
    assert page.words.count(evil) > 10
