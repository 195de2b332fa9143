"""No route but the probes and the interface's own description answers without a token."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route
from support.calibrations import Calibration
from support.gradients import dense_frame, manifest, open_calibration, put
from support.service import Service

from sparsegrad_server.app import create_app
from sparsegrad_server.auth import tokens
from sparsegrad_server.settings import Settings
from sparsegrad_shared.errors import Forbidden, Unauthenticated, UnknownCalibration

OPEN = {"/livez", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"}


def paths_of(openapi: dict[str, dict[str, dict[str, object]]]) -> list[tuple[str, str]]:
    """Every method and path that the description lists."""
    return [
        (method.upper(), path) for path, methods in openapi["paths"].items() for method in methods
    ]


def test_every_route_but_the_open_ones_is_refused_without_a_token(service: Service) -> None:
    with httpx.Client(base_url=service.url) as anonymous:
        described = paths_of(anonymous.get("/openapi.json").json())
        assert len(described) > len(OPEN)
        for method, path in described:
            answer = anonymous.request(method, re.sub(r"\{.*?\}", "1", path))
            if path in OPEN:
                assert answer.status_code == 200, path
            else:
                assert answer.status_code == 401, (method, path)
                assert answer.json()["type"] == Unauthenticated.type_uri()
                assert answer.headers["www-authenticate"] == "Bearer"


def test_no_route_is_hidden_from_the_description(tmp_path: Path) -> None:
    app = create_app(Settings(data=tmp_path))
    described = {path for _, path in paths_of(app.openapi())}
    plain = {route.path for route in app.routes if isinstance(route, Route)}
    assert plain - described <= OPEN


@pytest.mark.parametrize(
    "scheme", ["", "Bearer", "Bearer sg_", "Basic dGVhbTp4", "Bearer sg_" + 49 * "A"]
)
def test_what_is_no_token_is_refused(service: Service, scheme: str) -> None:
    headers = {"Authorization": scheme}
    answer = httpx.get(f"{service.url}/v1/calibrations/cal-0", headers=headers)
    assert answer.json()["type"] == Unauthenticated.type_uri()


def test_a_token_that_ended_is_refused_and_says_how(service: Service) -> None:
    now = datetime.now(UTC)
    with service.catalog.writing() as session:
        revoked = tokens.create(session, "old", "team", "read", now)
        tokens.revoke(session, revoked.id, now)
        past = now - timedelta(days=2)
        expired = tokens.create(session, "old", "team", "read", past, past + timedelta(days=1))
    for token, said in ((revoked, "revoked"), (expired, "expired")):
        headers = {"Authorization": f"Bearer {token.secret}"}
        answer = httpx.get(f"{service.url}/v1/calibrations/cal-0", headers=headers)
        assert answer.status_code == 401
        assert said in answer.json()["detail"]
        assert token.secret not in answer.text


def test_a_reader_may_look_but_not_write(service: Service, calibration: Calibration) -> None:
    with service.client(scope="read") as reader:
        assert reader.get(f"/v1/calibrations/{calibration.id}").status_code == 200
        refusals = [
            reader.post("/v1/calibrations", json=manifest()),
            put(reader, calibration.id, 1, dense_frame(1)),
            reader.post(f"/v1/calibrations/{calibration.id}/finish"),
        ]
    assert {refusal.json()["type"] for refusal in refusals} == {Forbidden.type_uri()}
    calibration.assert_intact()


def test_another_namespace_is_as_if_it_were_not_there(
    service: Service, calibration: Calibration
) -> None:
    with service.client(namespace="rivals", scope="admin") as rival:
        absent = [
            rival.get(f"/v1/calibrations/{calibration.id}"),
            put(rival, calibration.id, 1, dense_frame(1)),
            rival.post(f"/v1/calibrations/{calibration.id}/finish"),
        ]
        named = rival.post("/v1/calibrations", json=manifest())
    assert {answer.json()["type"] for answer in absent} == {UnknownCalibration.type_uri()}
    assert named.json()["type"] == Forbidden.type_uri()
    calibration.assert_intact()


def test_a_token_for_every_namespace_sees_them_all(
    service: Service, calibration: Calibration
) -> None:
    with service.client(namespace="*") as everyone:
        assert everyone.get(f"/v1/calibrations/{calibration.id}").status_code == 200
        assert open_calibration(everyone)
