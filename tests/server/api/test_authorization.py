"""Deny by default: every route, with every kind of token, against a table that names its scope.

A new route without an entry in the table fails the first test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from support.calibrations import Calibration
from support.gradients import dense_frame, manifest, open_calibration, put
from support.service import Service, running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.api import pages
from sparsegrad_server.app import create_app
from sparsegrad_server.auth import tokens
from sparsegrad_server.settings import Settings
from sparsegrad_shared.digests import content_digest, digest_of
from sparsegrad_shared.errors import Forbidden, Unauthenticated, UnknownCalibration
from sparsegrad_shared.tokens import SCOPES, Scope

Route = tuple[str, str]

_CALIBRATION = "/v1/calibrations/{calibration_id}"
_BASIS = "/v1/bases/{namespace}/{name}"
_VERSION = f"{_BASIS}/versions/{{version}}"
_ALIAS = f"{_BASIS}/aliases/{{alias}}"
_IMPORT = f"{_BASIS}/imports/{{digest}}"

# None: open to everybody. These answers tell nothing of what the server holds.
NEEDS: dict[Route, Scope | None] = {
    ("GET", "/livez"): None,
    ("GET", "/readyz"): None,
    ("GET", "/docs"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/metrics"): "metrics",
    ("GET", "/v1/calibrations"): "read",
    ("POST", "/v1/calibrations"): "write",
    ("GET", _CALIBRATION): "read",
    ("DELETE", _CALIBRATION): "write",
    ("POST", f"{_CALIBRATION}/finish"): "write",
    ("PUT", f"{_CALIBRATION}/gradients/{{group}}/{{index}}"): "write",
    ("GET", "/v1/jobs/{job_id}"): "read",
    ("GET", "/v1/jobs/{job_id}/events"): "read",
    ("GET", "/v1/jobs/{job_id}/log"): "read",
    ("GET", "/v1/bases"): "read",
    ("GET", "/v1/bases/{a}/diff/{b}"): "read",
    ("GET", _VERSION): "read",
    ("DELETE", _VERSION): "write",
    ("GET", f"{_VERSION}/files/{{file}}"): "read",
    ("PUT", f"{_VERSION}/tags/{{tag}}"): "write",
    ("DELETE", f"{_VERSION}/tags/{{tag}}"): "write",
    ("PUT", f"{_VERSION}/pin"): "write",
    ("DELETE", f"{_VERSION}/pin"): "write",
    ("GET", f"{_BASIS}/aliases"): "read",
    ("GET", _ALIAS): "read",
    ("PUT", _ALIAS): "write",
    ("DELETE", _ALIAS): "write",
    ("PUT", f"{_ALIAS}/protection"): "admin",
    ("DELETE", f"{_ALIAS}/protection"): "admin",
    ("PUT", _IMPORT): "write",
    ("DELETE", _IMPORT): "write",
    ("PUT", f"{_IMPORT}/files/{{file}}"): "write",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/{token_id}"): "admin",
    ("GET", "/v1/audit"): "admin",
}
# What is the whole server's: no namespace's token reads it, whatever its scope.
EVERYWHERE = {("GET", "/metrics")}
CLOSED = sorted(route for route, scope in NEEDS.items() if scope is not None)
OPEN = sorted(route for route, scope in NEEDS.items() if scope is None)
ABSENT = {"calibration_id": "cal-none", "name": "none", "token_id": "tok-none"}
OURS = "ours-alone"  # in whatever namespace `team` has: no other may read this anywhere


def routes_of(settings: Settings) -> set[Route]:
    """Every method and path of the app: those that are described, and the pages, which are not."""
    app = create_app(settings)
    described = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    hidden = {
        (method, route.path)
        for route in pages.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    return described | hidden


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths' parameters, each naming something that is there in namespace `team`."""
    bench = Workbench(tmp_path_factory.mktemp("authorization") / "data")
    status = bench.publish(manifest_of([group_of()], name=f"team/{OURS}"))
    assert status.basis is not None
    with bench.catalog.writing() as session:
        token = tokens.create(session, OURS, "team", "read", datetime.now(UTC))
    return {
        "data": str(bench.settings.data),
        "manifest": bench.bases.verify(status.basis.digest).model_dump_json(),
        "calibration_id": status.calibration,
        "job_id": status.id,
        "namespace": "team",
        "name": OURS,
        "version": "1",
        "file": "up.safetensors",
        "digest": status.basis.digest,
        "a": status.basis.digest,
        "b": status.basis.digest,
        "tag": "good",
        "alias": "prod",
        "token_id": token.id,
        "group": "up",
        "index": "0",
    }


@pytest.fixture(scope="module")
def guarded(real: dict[str, str]) -> Iterator[Service]:
    with running(Path(real["data"]), failures_per_minute=100_000) as service:
        yield service


@pytest.fixture(scope="module")
def secrets(guarded: Service) -> dict[str, str]:
    """A token of each kind."""
    now = datetime.now(UTC)
    past = now - timedelta(days=2)
    with guarded.catalog.writing() as session:
        made = {scope: tokens.create(session, scope, "team", scope, now) for scope in SCOPES}
        made["rival"] = tokens.create(session, "rival", "rivals", "admin", now)
        made["prometheus"] = tokens.create(session, "prometheus", "*", "metrics", now)
        made["expired"] = tokens.create(
            session, "expired", "*", "admin", past, past + timedelta(days=1)
        )
        made["revoked"] = tokens.create(session, "revoked", "*", "admin", now)
        tokens.revoke(session, made["revoked"].id, now)
    return {kind: token.secret for kind, token in made.items()}


def ask(
    service: Service, route: Route, about: dict[str, str], secret: str | None
) -> httpx.Response:
    """A request of a route, in order but for the token."""
    method, template = route
    path = re.sub(r"\{(\w+)\}", lambda found: about[found[1]], template)
    bodies: dict[Route, Any] = {
        ("POST", "/v1/calibrations"): manifest(),
        ("POST", "/v1/tokens"): {"name": "eve", "namespace": "team"},
        ("PUT", _ALIAS): {"version": 1},
        ("PUT", _IMPORT): json.loads(about["manifest"]),
    }
    body = (
        json.dumps(bodies[route]).encode() if route in bodies else b"" if method == "GET" else b"x"
    )
    headers = {
        "Content-Digest": content_digest(digest_of([body])),
        "Content-Type": "application/json" if route in bodies else "application/octet-stream",
        "If-None-Match": '"another"' if method == "GET" else "*",
    }
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    return httpx.request(method, service.url + path, headers=headers, content=body, timeout=60)


def test_every_route_is_in_the_table(tmp_path: Path) -> None:
    assert routes_of(Settings(data=tmp_path)) == NEEDS.keys()


def test_what_is_open_answers_and_tells_nothing_of_what_is_there(
    guarded: Service, real: dict[str, str]
) -> None:
    for route in OPEN:
        answer = ask(guarded, route, real, None)
        assert answer.status_code == 200, route
        assert OURS not in answer.text
        assert "team/" not in answer.text.replace("team/minilm-cola", "")


@pytest.mark.parametrize("kind", ["nothing", "garbage", "unknown", "expired", "revoked"])
def test_whoever_is_not_known_is_refused_everywhere(
    guarded: Service, real: dict[str, str], secrets: dict[str, str], kind: str
) -> None:
    elsewhere = "sg_" + 43 * "A" + "DCtZhg"
    others = {"nothing": None, "garbage": "let-me-in", "unknown": elsewhere}
    for route in CLOSED:
        answer = ask(guarded, route, real, others.get(kind, secrets.get(kind)))
        assert answer.status_code == 401, route
        assert answer.json()["type"] == Unauthenticated.type_uri()
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_is_enough_for_its_routes_and_for_no_other(
    guarded: Service, real: dict[str, str], secrets: dict[str, str], scope: Scope
) -> None:
    for route in CLOSED:
        needed = NEEDS[route]
        assert needed is not None
        enough = SCOPES.index(scope) >= SCOPES.index(needed) and route not in EVERYWHERE
        # What changes something is asked about what is not there, or it would be there no more.
        answer = ask(guarded, route, real if route[0] == "GET" else real | ABSENT, secrets[scope])
        if enough:
            assert answer.status_code not in (401, 403), (route, answer.text)
        else:
            assert answer.json()["type"] == Forbidden.type_uri(), route


def test_a_token_for_metrics_reads_them_and_nothing_else(
    guarded: Service, real: dict[str, str], secrets: dict[str, str]
) -> None:
    for route in CLOSED:
        expected = 200 if route in EVERYWHERE else 403
        answer = ask(guarded, route, real, secrets["prometheus"])
        assert answer.status_code == expected, route


def test_another_namespace_s_administrator_neither_sees_nor_changes_anything(
    guarded: Service, real: dict[str, str], secrets: dict[str, str]
) -> None:
    before = ask(guarded, ("GET", _VERSION), real, secrets["admin"]).content
    for route in CLOSED:
        answer = ask(guarded, route, real, secrets["rival"])
        if "{" in route[1] or route[0] != "GET":
            assert answer.status_code in (403, 404), (route, answer.text)
        else:  # a list, of its own
            assert OURS not in answer.text, route
    assert ask(guarded, ("GET", _VERSION), real, secrets["admin"]).content == before
    gradients = ask(guarded, ("GET", _CALIBRATION), real, secrets["admin"]).json()
    assert gradients["state"] == "finished"


@pytest.mark.parametrize(
    "scheme", ["", "Bearer", "Bearer sg_", "Basic dGVhbTp4", "Bearer sg_" + 49 * "A"]
)
def test_what_is_no_token_is_refused(service: Service, scheme: str) -> None:
    headers = {"Authorization": scheme}
    answer = httpx.get(f"{service.url}/v1/calibrations/cal-0", headers=headers, timeout=60)
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
        answer = httpx.get(f"{service.url}/v1/calibrations/cal-0", headers=headers, timeout=60)
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
