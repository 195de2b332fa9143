"""Deny by default: every page, without a session, with a foreign one, from another site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from support.browsers import sign_in, visit
from support.service import Service, running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.auth import tokens
from sparsegrad_server.web.routes import router

# What needs no session. The first page leads on to one that does.
OPEN = {
    ("GET", "/"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-out"),
    ("GET", "/static/{fingerprint}/{file}"),
    ("GET", "/static/{fingerprint}/vendor/{file}"),
}
ROUTES = sorted(
    (method, route.path or "")
    for route in iter_route_contexts(router.routes)
    for method in route.methods or ()
)
CLOSED = [route for route in ROUTES if route not in OPEN]
OURS = "ours-alone"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A data folder of its own."""
    return Workbench(tmp_path_factory.mktemp("rights") / "data")


@pytest.fixture(scope="module")
def real(bench: Workbench) -> dict[str, str]:
    """The paths' parameters, each naming something that is there in namespace `team`."""
    job = bench.publish(manifest_of([group_of()], name=f"team/{OURS}"))
    with bench.catalog.writing() as session:
        token = tokens.create(session, OURS, "team", "read", datetime.now(UTC))
    return {
        "namespace": "team",
        "name": OURS,
        "which": "1",
        "calibration_id": job.calibration,
        "job_id": job.id,
        "token_id": token.id,
    }


@pytest.fixture(scope="module")
def guarded(bench: Workbench, real: dict[str, str]) -> Iterator[Service]:
    with running(bench.settings.data) as service:
        yield service


def ask(
    browser: httpx.Client, route: tuple[str, str], real: dict[str, str], **headers: str
) -> httpx.Response:
    method, template = route
    path = re.sub(r"\{(\w+)\}", lambda found: real[found[1]], template)
    kind = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    return browser.request(method, path, headers={**kind, **headers})


def test_the_first_page_and_the_sign_in_are_all_that_is_open() -> None:
    assert set(ROUTES) > OPEN
    assert len(CLOSED) >= 4


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
def test_without_a_session_every_page_leads_to_the_sign_in(
    guarded: Service, real: dict[str, str], route: tuple[str, str]
) -> None:
    with visit(guarded) as browser:
        answer = ask(browser, route, real)
        assert answer.status_code == 303
        assert answer.headers["location"].partition("?")[0] == "/sign-in"
        assert answer.text == ""
        script = ask(browser, route, real, Accept="application/json")
        assert script.status_code == 401
        part = ask(browser, route, real, Accept="*/*", **{"HX-Request": "true"})
        assert part.status_code == 401
        assert part.headers["hx-redirect"].startswith("/sign-in")


@pytest.mark.parametrize("route", [r for r in CLOSED if r[0] != "GET"], ids=" ".join)
def test_what_changes_something_comes_from_a_page_of_ours_or_not_at_all(
    guarded: Service, real: dict[str, str], route: tuple[str, str]
) -> None:
    with sign_in(guarded, "*", "admin") as browser:
        assert ask(browser, route, real, Origin="https://evil.example").status_code == 403


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
def test_another_namespace_s_administrator_sees_nothing_of_ours(
    guarded: Service, real: dict[str, str], route: tuple[str, str]
) -> None:
    with sign_in(guarded, "rivals", "admin") as rival:
        answer = ask(rival, route, real)
        if "{" in route[1]:
            assert answer.status_code in (403, 404), answer.text
            assert "sha256:" not in answer.text
        else:
            assert OURS not in answer.text


def test_after_the_sign_in_a_visitor_is_where_they_wanted_to_be(guarded: Service) -> None:
    wanted = f"/bases/team/{OURS}/1?group=up"
    with visit(guarded) as browser:
        form = browser.get(browser.get(wanted).headers["location"])
        assert f'value="{wanted}"' in form.text
        headers = {"HX-Request": "true", "HX-Current-URL": f"{guarded.url}/bases?q=tiny"}
        part = browser.get("/bases", headers=headers)
        assert part.headers["hx-redirect"] == "/sign-in?next=/bases%3Fq%3Dtiny"
