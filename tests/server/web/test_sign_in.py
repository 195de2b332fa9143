"""Signing in with a token: what a session is worth, and how it ends."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response
from support.browsers import sign_in, texts_to_copy, visit, words_of
from support.command_lines import check, commands_in
from support.service import Service, new_token, running

from sparsegrad_server.auth import sessions, tokens
from sparsegrad_server.catalog.tables import SessionRow, TokenRow
from sparsegrad_server.web.visitors import remember

UNKNOWN = "sg_" + 43 * "A" + "DCtZhg"


def cookie_of(answer: httpx.Response) -> Morsel[str]:
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    return morsel


def send(service: Service, secret: str, **more: str) -> httpx.Response:
    with visit(service) as browser:
        return browser.post("/sign-in", data={"token": secret, **more})


def test_a_good_token_signs_in(service: Service) -> None:
    with visit(service) as browser:
        secret = new_token(service.catalog, "team", "read")
        answer = browser.post("/sign-in", data={"token": f" {secret}\n"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/bases")
        page = browser.get("/bases")
        assert page.status_code == 200
        assert "Sign out" in page.text


def test_who_has_no_token_is_told_by_which_commands_to_get_one(service: Service) -> None:
    with visit(service) as browser:
        shown = commands_in(texts_to_copy(browser.get("/sign-in").text))
    make, *_, find = shown
    assert make.startswith("sparsegrad-server token create")
    assert find == "sparsegrad-client dashboard"
    for command in (make, find):
        check(command)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(service: Service) -> None:
    morsel = cookie_of(send(service, new_token(service.catalog, "team", "read")))
    assert morsel.key == "sparsegrad"
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "strict", "/")
    assert not morsel["domain"]
    assert 0 < int(morsel["max-age"]) <= 12 * 3600
    assert len(morsel.value) >= 43  # 256 bits in base64


def test_under_tls_the_cookie_is_for_this_host_and_tls_alone() -> None:
    scope = {"type": "http", "scheme": "https", "server": ("host", 443), "path": "/", "headers": []}
    answer = Response()
    ends = datetime.now(UTC) + timedelta(hours=1)
    remember(Request(scope), answer, sessions.BrowserSession("secret", ends))
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert morsel.key == "__Host-sparsegrad"
    assert morsel["secure"]


def test_the_catalog_keeps_the_cookie_s_hash_alone(service: Service) -> None:
    value = cookie_of(send(service, new_token(service.catalog, "team", "read"))).value
    with service.catalog.reading() as session:
        row = session.get_one(SessionRow, hashlib.sha256(value.encode()).hexdigest())
        assert row.expires - row.created == sessions.LIFETIME
        assert value not in {each.hash for each in session.scalars(select(SessionRow))}


def test_a_session_does_not_outlive_its_token(service: Service) -> None:
    now = datetime.now(UTC)
    with service.catalog.writing() as session:
        token = tokens.create(session, "brief", "team", "read", now, now + timedelta(minutes=5))
    assert int(cookie_of(send(service, token.secret))["max-age"]) <= 300


@pytest.mark.parametrize(
    ("secret", "status", "said"),
    [
        (UNKNOWN, 401, "not known here"),
        ("let-me-in", 401, "no token of SparseGrad"),
        ("<script>alert(1)</script>", 401, "no token of SparseGrad"),
        ("", 422, "begins with sg_"),
        ("sg_" + "ä" * 49, 401, "no token of SparseGrad"),
    ],
)
def test_what_is_no_good_token_is_told_at_the_field_and_not_echoed(
    service: Service, secret: str, status: int, said: str
) -> None:
    answer = send(service, secret, next="/compare")
    assert answer.status_code == status
    assert said in words_of(answer.text)
    assert 'aria-invalid="true"' in answer.text
    assert 'id="error-token"' in answer.text
    assert "error-token" in answer.text.split('id="field-token"')[1].split(">")[0]
    assert secret == "" or secret not in answer.text
    assert 'name="next" value="/compare"' in answer.text
    assert "set-cookie" not in answer.headers


def test_tokens_that_ended_say_how(service: Service) -> None:
    now, past = datetime.now(UTC), datetime.now(UTC) - timedelta(days=2)
    with service.catalog.writing() as session:
        revoked = tokens.create(session, "old", "team", "read", now)
        tokens.revoke(session, revoked.id, now)
        expired = tokens.create(session, "old", "team", "read", past, past + timedelta(days=1))
    for token, said in ((revoked, "revoked"), (expired, "expired")):
        answer = send(service, token.secret)
        assert answer.status_code == 401
        assert said in words_of(answer.text)
        assert token.secret not in answer.text


def test_a_token_for_metrics_alone_opens_no_pages(service: Service) -> None:
    answer = send(service, new_token(service.catalog, "*", "metrics"))
    assert answer.status_code == 403
    assert "scope read" in words_of(answer.text)
    assert "set-cookie" not in answer.headers


def test_an_address_that_shows_bad_tokens_has_to_wait(tmp_path: Path) -> None:
    with running(tmp_path / "data", failures_per_minute=2) as service:
        answers = [send(service, UNKNOWN) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert int(answers[2].headers["retry-after"]) > 0
        assert "come again later" in words_of(answers[2].text)
        # The interface counts with the pages.
        headers = {"Authorization": f"Bearer {UNKNOWN}"}
        assert httpx.get(f"{service.url}/v1/bases", headers=headers).status_code == 429


def test_a_revoked_token_ends_its_sessions_at_once(service: Service) -> None:
    now = datetime.now(UTC)
    with service.catalog.writing() as session:
        token = tokens.create(session, "gone soon", "team", "read", now)
    with visit(service) as browser:
        browser.post("/sign-in", data={"token": token.secret})
        assert browser.get("/bases").status_code == 200
        with service.catalog.writing() as session:
            tokens.revoke(session, token.id, now)
        assert browser.get("/bases").headers["location"].startswith("/sign-in")


def test_a_session_or_token_whose_time_is_over_has_ended(service: Service) -> None:
    for table in (SessionRow, TokenRow):
        with sign_in(service) as browser:
            digest = sessions.digest_of(browser.cookies["sparsegrad"])
            with service.catalog.writing() as session:
                row = session.get_one(SessionRow, digest)
                ended = row if table is SessionRow else session.get_one(TokenRow, row.token_id)
                ended.expires = datetime.now(UTC) - timedelta(seconds=1)
            assert browser.get("/bases").headers["location"].startswith("/sign-in")


def test_signing_out_ends_the_session_here_and_in_the_browser(service: Service) -> None:
    with sign_in(service) as browser:
        value = browser.cookies["sparsegrad"]
        answer = browser.post("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert "sparsegrad" not in browser.cookies
        with visit(service) as thief:
            thief.cookies.set("sparsegrad", value)
            assert thief.get("/bases").headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("value", ["", "x", "a" * 4000, "%00"])
def test_a_cookie_that_is_no_session_is_none(service: Service, value: str) -> None:
    headers = {"Cookie": f"sparsegrad={value}"}
    assert httpx.get(f"{service.url}/bases", headers=headers, timeout=60).status_code == 303


def test_a_cookie_opens_pages_and_nothing_of_the_interface(service: Service) -> None:
    with sign_in(service, "*", "admin") as browser:
        for path in ("/v1/bases", "/v1/tokens", "/v1/audit", "/metrics"):
            assert browser.get(path).status_code == 401, path
        body = {"name": "eve", "namespace": "team"}
        assert browser.post("/v1/tokens", json=body).status_code == 401


def test_who_signs_in_is_in_the_audit_log(service: Service) -> None:
    with service.catalog.writing() as session:
        token = tokens.create(session, "audited visitor", "team", "read", datetime.now(UTC))
    send(service, token.secret)
    with service.client(scope="admin") as admin:
        (entry,) = admin.get("/v1/audit", params={"token": token.id}).json()["entries"]
    assert (entry["action"], entry["status"]) == ("POST /sign-in", 303)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "{url}.evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{url}"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_form_that_another_site_sends_is_refused(
    service: Service, headers: dict[str, str]
) -> None:
    secret = new_token(service.catalog, "team", "read")
    sent = {name: value.format(url=service.url) for name, value in headers.items()}
    for path in ("/sign-in", "/sign-out"):
        answer = httpx.post(f"{service.url}{path}", data={"token": secret}, headers=sent)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_a_form_of_ours_is_known_by_either_header(service: Service) -> None:
    secret = new_token(service.catalog, "team", "read")
    for headers in ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": service.url}):
        answer = httpx.post(f"{service.url}/sign-in", data={"token": secret}, headers=headers)
        assert answer.status_code == 303


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/x-www-form-urlencoded", b"token=\xff\xfe"),
        ("application/x-www-form-urlencoded", b"a=1&" * 100),
    ],
)
def test_a_body_that_is_no_form_is_told_so(service: Service, kind: str, body: bytes) -> None:
    headers = {"Content-Type": kind, "Origin": service.url}
    answer = httpx.post(f"{service.url}/sign-in", content=body, headers=headers)
    assert answer.status_code == 422
    assert "expected a form" in answer.json()["detail"]
