"""Pages of tokens: one is made and shown once, another is refused at its field, one is revoked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest
from support.browsers import sign_in, visit, words_of
from support.service import Service

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog.audit import AuditQuery, search
from sparsegrad_shared.tokens import MOST_DAYS, Scope

DAY = timedelta(days=1)


def make(browser: httpx.Client, **fields: str) -> httpx.Response:
    usual = {"name": "alice", "namespace": "team", "scope": "read", "days": "30"}
    return browser.post("/tokens", data=usual | fields)


def secret_in(page: str) -> str:
    """The secret that a page shows."""
    (secret,) = set(re.findall(r"sg_[\w-]{49}", unescape(page)))
    return secret


def complaints(page: str) -> dict[str, str]:
    """What a page says at its fields."""
    return dict(re.findall(r'class="error" id="error-(\w+)">([^<]+)<', page))


def made(site: Service, name: str, namespace: str = "team", scope: Scope = "read") -> tokens.Token:
    with site.catalog.writing() as session:
        return tokens.create(session, name, namespace, scope, datetime.now(UTC))


def test_a_new_one_is_shown_once_works_and_is_listed_without_its_secret(
    site: Service, administrator: httpx.Client
) -> None:
    answer = make(administrator, name="alice-once", scope="write")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    secret = secret_in(answer.text)
    assert f"export SPARSEGRAD_TOKEN={secret}" in answer.text
    assert f"export SPARSEGRAD_SERVER={site.url}" in answer.text
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{site.url}/v1/bases", headers=headers, timeout=60).status_code == 200
    listed = administrator.get("/tokens").text
    assert "alice-once" in listed
    assert "sg_" not in listed
    with site.catalog.reading() as session:
        row = tokens.find(session, tokens.digest_of(secret), datetime.now(UTC))
        entry = search(session, AuditQuery(namespace="team"), 1).entries[0]
    assert (row.name, row.namespace, row.scope) == ("alice-once", "team", "write")
    assert row.expires is not None
    assert abs(row.expires - datetime.now(UTC) - 30 * DAY) < timedelta(minutes=5)
    assert (entry.action, entry.status) == ("POST /tokens", 201)
    assert entry.target == f"{row.token_id} write alice-once"
    assert secret not in str(entry)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "x" * 101}, {"name"}),
        ({"name": "a\x07b"}, {"name"}),
        ({"namespace": "no no"}, {"namespace"}),
        ({"namespace": "rivals"}, {"namespace"}),
        ({"namespace": "*"}, {"namespace"}),
        ({"scope": "root"}, {"scope"}),
        ({"days": "0"}, {"days"}),
        ({"days": "-1"}, {"days"}),
        ({"days": "1.5"}, {"days"}),
        ({"days": str(MOST_DAYS + 1)}, {"days"}),
        ({"days": "9" * 5000}, {"days"}),
        ({"days": "\N{ARABIC-INDIC DIGIT ONE}"}, {"days"}),
        (
            {"name": "", "namespace": "no no", "scope": "", "days": "x"},
            {"name", "namespace", "scope", "days"},
        ),
    ],
)
def test_what_cannot_be_made_is_told_at_its_field_and_the_rest_is_kept(
    site: Service, administrator: httpx.Client, fields: dict[str, str], wrong: set[str]
) -> None:
    before = count(site)
    answer = make(administrator, **fields)
    assert answer.status_code == 422
    assert set(complaints(answer.text)) == wrong
    for name in {"name", "namespace", "days"} & wrong:
        box = re.search(rf'<input id="field-{name}"[^>]*>', answer.text)
        assert box is not None
        assert 'aria-invalid="true"' in box[0]
        assert f"error-{name}" in box[0]
    if "name" not in wrong:
        assert 'value="alice"' in answer.text
    assert count(site) == before


def count(site: Service) -> int:
    with site.catalog.reading() as session:
        return len(tokens.every(session, "*"))


def test_none_outlives_the_one_that_makes_it_and_with_no_days_it_ends_with_it(
    site: Service,
) -> None:
    with visit(site) as browser:
        with site.catalog.writing() as session:
            now = datetime.now(UTC)
            maker = tokens.create(session, "maker", "team", "admin", now, now + 10 * DAY)
        browser.post("/sign-in", data={"token": maker.secret})
        page = browser.get("/tokens").text
        assert re.search(r'id="field-days"[^>]* value=""', page)
        longer = make(browser, days="11")
        assert set(complaints(longer.text)) == {"days"}
        assert "maker" in complaints(longer.text)["days"]
        secret = secret_in(make(browser, days="").text)
    with site.catalog.reading() as session:
        child = tokens.find(session, tokens.digest_of(secret), now)
        assert child.expires == tokens.find(session, tokens.digest_of(maker.secret), now).expires


def test_an_operator_makes_tokens_for_every_namespace(operator: httpx.Client) -> None:
    for namespace in ("lab", "*"):
        assert make(operator, namespace=namespace).status_code == 201


@pytest.mark.parametrize("scope", ["read", "write"])
def test_a_lesser_token_sees_none_of_it(site: Service, scope: Scope) -> None:
    with sign_in(site, scope=scope) as browser:
        assert 'href="/tokens"' not in browser.get("/bases").text
        assert browser.get("/tokens").status_code == 403
        assert make(browser).status_code == 403


def test_revoking_asks_first_then_ends_the_token_and_its_browsers(
    site: Service, administrator: httpx.Client
) -> None:
    token = made(site, "leaver")
    path = f"/tokens/{token.id}/revoke"
    with visit(site) as leaver:
        leaver.post("/sign-in", data={"token": token.secret})
        assert leaver.get("/bases").status_code == 200
        assert f'href="{path}"' in administrator.get("/tokens").text
        question = administrator.get(path)
        assert "cannot be undone" in question.text
        assert leaver.get("/bases").status_code == 200  # a question changes nothing
        answer = administrator.post(
            path, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/tokens")
        assert leaver.get("/bases").status_code == 303
    page = administrator.get("/tokens").text
    assert f'href="{path}"' not in page
    assert "leaver" in page.partition("that ended")[2]
    assert "was revoked" in words_of(administrator.get(path).text)
    with site.catalog.reading() as session:
        entry = search(session, AuditQuery(namespace="team"), 1).entries[0]
    assert (entry.target, entry.status) == (f"{token.id} read leaver", 303)


def test_revoking_one_s_own_says_that_it_signs_out(site: Service) -> None:
    token = made(site, "me", scope="admin")
    with visit(site) as browser:
        browser.post("/sign-in", data={"token": token.secret})
        path = f"/tokens/{token.id}/revoke"
        assert "you will be signed out" in browser.get(path).text
        assert browser.post(path).status_code == 303
        assert browser.get("/tokens").headers["location"].startswith("/sign-in")


def test_tokens_of_others_are_neither_listed_nor_revoked(
    site: Service, administrator: httpx.Client
) -> None:
    theirs = made(site, "theirs-alone", "rivals")
    assert "theirs-alone" not in administrator.get("/tokens").text
    for ask in (administrator.get, administrator.post):
        assert ask(f"/tokens/{theirs.id}/revoke").status_code == 404
    with site.catalog.reading() as session:
        assert tokens.find(session, tokens.digest_of(theirs.secret), datetime.now(UTC))


def test_names_are_text(administrator: httpx.Client) -> None:
    hostile = '<script>alert("1")</script>'
    answer = make(administrator, name=hostile)
    assert answer.status_code == 201
    for page in (answer.text, administrator.get("/tokens").text):
        assert hostile not in page
        assert "&lt;script&gt;" in page
