"""What the fuzzer has found once, held for good, on a server with ordinary settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.fuzz.wire import exchange, head
from support.gradients import dense, dense_frame, frame, manifest, open_calibration, put
from support.service import Service, running

ANSWER_BYTES = 10_000
WRONG = [1] * 1_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("fuzz") / "data") as service:
        yield service


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[httpx.Client]:
    with service.client("*", "admin") as client:
        yield client


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("POST", "/v1/tokens", dict.fromkeys(map(str, range(200_000)), 1)),
        ("POST", "/v1/tokens", WRONG),
        ("POST", "/v1/calibrations", manifest() | {"groups": WRONG}),
        ("POST", "/v1/calibrations", manifest() | {"tags": WRONG}),
        ("POST", "/v1/calibrations", manifest(layers=WRONG)),
        ("PUT", f"/v1/bases/team/x/imports/sha256:{'0' * 64}", {"groups": WRONG}),
        ("POST", "/v1/tokens", {"name": nested(400), "namespace": "team"}),
    ],
    ids=["members", "no object", "groups", "tags", "layers", "groups of a basis", "deep"],
)
def test_a_document_wrong_in_a_million_places_gets_a_short_answer(
    admin: httpx.Client, method: str, path: str, document: object
) -> None:
    body = json.dumps(document, separators=(",", ":"))
    answer = admin.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert len(answer.content) < ANSWER_BYTES


@pytest.mark.parametrize(
    ("name", "said"),
    [("\ud800", r"got '\ud800'"), ("\x00", "body.\x00: Extra"), ("../x", "body.../x: Extra")],
    ids=["half a pair", "NUL", "path"],
)
def test_a_member_of_any_name_is_refused_by_it(admin: httpx.Client, name: str, said: str) -> None:
    body = json.dumps({"name": "x", "namespace": "team", name: 1}).encode()
    answer = admin.post("/v1/tokens", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_sums_of_more_gradients_than_a_number_holds_are_refused(admin: httpx.Client) -> None:
    calibration = open_calibration(admin)
    good = dense_frame(0)
    assert put(admin, calibration, 0, good).status_code == 201
    G = dense(1).astype("f8")
    sums = frame({"A_in": G.T @ G, "A_out": G @ G.T}, count="9" * 25)
    assert put(admin, calibration, 1, sums).status_code == 422


def test_a_refused_method_is_told_all_that_its_path_has(admin: httpx.Client) -> None:
    for path in ("/v1/tokens", "/v1/calibrations"):
        assert admin.patch(path).headers["allow"] == "GET, POST"
    alias = admin.post("/v1/bases/team/x/aliases/prod")
    assert alias.headers["allow"] == "GET, PUT, DELETE"


def test_two_names_of_the_server_are_one_too_many(service: Service) -> None:
    hosts = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    url = httpx.URL(service.url)
    answer = exchange((url.host, url.port or 0), [head("GET", "/livez", hosts)])
    assert answer.status == 422
    assert b"expected one Host header" in answer.body


def test_the_audit_log_holds_a_path_with_nul(service: Service, admin: httpx.Client) -> None:
    with service.client("team", "read") as reader:
        assert reader.put("/v1/bases/team/a%00b/versions/1/pin").status_code == 403
    entries = admin.get("/v1/audit", params={"refused": True}).json()["entries"]
    assert entries[0]["target"] == "/v1/bases/team/a\ufffdb/versions/1/pin"


def test_a_name_may_be_that_of_a_route(admin: httpx.Client) -> None:
    answer = admin.get("/v1/bases/team/diff/aliases")
    assert answer.json()["detail"] == (
        "no basis is published as team/diff; `sparsegrad-client bases list` shows those that this "
        "token may see"
    )


def test_every_operation_says_which_errors_it_answers_with(service: Service) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            problems = {
                status: answer
                for status, answer in operation["responses"].items()
                if status >= "400"
            }
            assert {"403", "429", "500", "503"} <= problems.keys(), (method, path)
            for answer in problems.values():
                assert list(answer["content"]) == ["application/problem+json"]
    assert "Problem" in document["components"]["schemas"]
