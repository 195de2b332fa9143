"""What every answer has, and what goes wrong outside of the routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from support.gradients import manifest
from support.service import Service, running

from sparsegrad_shared.errors import (
    BodyTooLarge,
    Forbidden,
    InvalidInput,
    NotFound,
    Problem,
    StorageFull,
)


def test_probes_answer_without_a_token(service: Service) -> None:
    for probe in ("/livez", "/readyz"):
        assert httpx.get(f"{service.url}{probe}", timeout=30).json() == {"status": "ok"}


def test_every_answer_forbids_sniffing_and_storing(service: Service, client: httpx.Client) -> None:
    for answer in (client.get("/livez"), client.get("/v1/calibrations/cal-0")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v2", 404, NotFound.type_uri()),
        ("GET", "/v1/../etc/passwd", 404, NotFound.type_uri()),
        ("DELETE", "/v1/calibrations", 405, "about:blank"),
    ],
)
def test_an_unknown_route_or_method_is_a_problem(
    client: httpx.Client, method: str, path: str, status: int, kind: str
) -> None:
    answer = client.request(method, path)
    problem = Problem.model_validate_json(answer.content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem.status, problem.type) == (status, status, kind)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"d_out": 0}, "body.groups.0.d_out: Input should be greater than or equal to 1; got 0"),
        ({"dtype": "int8"}, "got 'int8'"),
        ({"name": "../up"}, "body.groups.0.name"),
        ({"name": "zarr.json"}, "zarr.json"),
        ({"layers": []}, "body.groups.0.layers"),
        ({"colour": "red"}, "body.groups.0.colour"),
    ],
)
def test_a_wrong_manifest_is_refused_with_field_and_value(
    client: httpx.Client, changes: dict[str, Any], said: str
) -> None:
    answer = client.post("/v1/calibrations", json=manifest(**changes))
    assert answer.json()["type"] == InvalidInput.type_uri()
    assert said in answer.json()["detail"]


def test_a_body_that_is_not_json_is_refused(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/calibrations", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert answer.json()["type"] == InvalidInput.type_uri()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_manifest_over_the_limit_is_refused(
    service: Service, client: httpx.Client, chunked: bool
) -> None:
    content = b" " * (service.settings.max_request_bytes + 1)
    answer = client.post("/v1/calibrations", content=iter([content]) if chunked else content)
    assert answer.json()["type"] == BodyTooLarge.type_uri()


def test_only_allowed_hosts_are_answered(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", allowed_hosts="localhost,127.0.0.1") as service,
        service.client() as client,
    ):
        assert client.get("/v1/bases").status_code == 200
        answer = client.get("/v1/bases", headers={"Host": "evil.example"})
        assert answer.json()["type"] == Forbidden.type_uri()


def test_a_disk_near_its_floor_is_not_ready_but_alive(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", min_free_bytes=1 << 60) as service,
        service.client() as client,
    ):
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").json()["type"] == StorageFull.type_uri()
        refused = client.post("/v1/calibrations", json=manifest())
        assert (refused.status_code, refused.json()["type"]) == (507, StorageFull.type_uri())
