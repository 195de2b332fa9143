"""Whether the hub answers is found out once, before its libraries try for minutes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sparsegrad_client import hub


class _Answer(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A hub that answers."""
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_hub_that_answers_is_used(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert not hub.go_offline_when_unreachable()
    assert "HF_HUB_OFFLINE" not in hub.os.environ


@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "no-address"])
def test_a_hub_that_does_not_answer_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", where)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # so that it is put back afterwards
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert hub.go_offline_when_unreachable()
    assert hub.os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("0", False)])
def test_what_the_person_said_stands(
    monkeypatch: pytest.MonkeyPatch, value: str, offline: bool
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert hub.go_offline_when_unreachable() is offline
