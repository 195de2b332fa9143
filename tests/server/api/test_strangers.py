"""No body of a stranger is waited for, kept or parsed."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest
from support.gradients import manifest
from support.service import Service

from sparsegrad_server.api.strangers import FORM_BYTES
from sparsegrad_shared.errors import Unauthenticated

UNKNOWN = "Bearer sg_" + 43 * "A" + "DCtZhg"  # well-formed
LARGE = 5 << 20


def answer_to_head(service: Service, path: str, *headers: str) -> tuple[HTTPResponse, bytes]:
    """What is answered to a request of which only the head is sent: head and body."""
    address = urlsplit(service.url)
    lines = [f"POST {path} HTTP/1.1", f"Host: {address.netloc}", *headers, "", ""]
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = HTTPResponse(connection)
        answer.begin()
        return answer, answer.read()


@pytest.mark.parametrize("authorization", [None, "Basic dGVhbTp4", "Bearer nothing", UNKNOWN])
@pytest.mark.parametrize("body", [f"Content-Length: {LARGE}", "Transfer-Encoding: chunked"])
def test_a_stranger_is_answered_before_his_body_comes(
    service: Service, authorization: str | None, body: str
) -> None:
    headers = [body, "Content-Type: application/json"]
    if authorization is not None:
        headers.append(f"Authorization: {authorization}")
    answer, problem = answer_to_head(service, "/v1/calibrations", *headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert json.loads(problem)["type"] == Unauthenticated.type_uri()


def test_whoever_is_known_is_asked_once_and_may_send_what_he_may(
    service: Service, client: httpx.Client
) -> None:
    answers = [client.post("/v1/calibrations", json=manifest()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    left = [int(answer.headers["ratelimit"].split(";")[1][2:]) for answer in answers]
    assert left[1] >= left[0] - 1  # one request, one of the allowance
    large = client.post("/v1/calibrations", json=manifest() | {"tags": [99 * "x"] * 10_000})
    assert large.status_code == 422
    assert "tags" in large.json()["detail"]


def test_a_form_has_its_bound(service: Service) -> None:
    here = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    content = b"token=" + bytes(FORM_BYTES)
    answer = httpx.post(f"{service.url}/sign-in", content=content, headers=here, timeout=60)
    assert answer.status_code == 413, answer.text
