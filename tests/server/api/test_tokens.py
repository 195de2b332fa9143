"""Tokens over HTTP: shown once, of the own namespace, never broader than their maker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from support.service import Service, running

from sparsegrad_server.auth import tokens
from sparsegrad_shared.errors import Forbidden, InvalidInput, NotFound, Unauthenticated

DAY = timedelta(days=1)


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    """The administrator of namespace `lab`."""
    with service.client("lab", "admin") as client:
        yield client


def make(client: httpx.Client, **wanted: str) -> httpx.Response:
    return client.post("/v1/tokens", json={"name": "bob", "namespace": "lab"} | wanted)


def as_holder(service: Service, secret: str) -> httpx.Client:
    return httpx.Client(
        base_url=service.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60
    )


def test_a_new_token_works_is_listed_without_its_secret_and_ends_when_revoked(
    service: Service, admin: httpx.Client
) -> None:
    answer = make(admin, scope="write")
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/tokens/{made['id']}"
    with as_holder(service, made["secret"]) as holder:
        assert holder.get("/v1/bases").status_code == 200
        listed = admin.get("/v1/tokens")
        assert made["secret"] not in listed.text
        (shown,) = [token for token in listed.json()["tokens"] if token["id"] == made["id"]]
        assert shown == {name: value for name, value in made.items() if name != "secret"}
        assert admin.delete(f"/v1/tokens/{made['id']}").json()["revoked"] is not None
        assert holder.get("/v1/bases").json()["type"] == Unauthenticated.type_uri()
    assert made["id"] in [token["id"] for token in admin.get("/v1/tokens").json()["tokens"]]


def test_an_administrator_sees_and_revokes_the_own_namespace_s_tokens_only(
    service: Service, admin: httpx.Client
) -> None:
    with service.client("rivals", "admin") as rival, service.client("*", "admin") as operator:
        theirs = make(rival, namespace="rivals").json()["id"]
        everywhere = make(operator, namespace="*").json()["id"]
        listed = admin.get("/v1/tokens").json()["tokens"]
        assert {token["namespace"] for token in listed} == {"lab"}
        for token_id in (theirs, everywhere, "tok-none"):
            assert admin.delete(f"/v1/tokens/{token_id}").json()["type"] == NotFound.type_uri()
        every = {token["id"] for token in operator.get("/v1/tokens").json()["tokens"]}
        assert every >= {theirs, everywhere}
        assert operator.delete(f"/v1/tokens/{theirs}").status_code == 200


@pytest.mark.parametrize("namespace", ["rivals", "*"])
def test_no_token_is_made_for_another_namespace(admin: httpx.Client, namespace: str) -> None:
    answer = make(admin, namespace=namespace)
    assert (answer.status_code, answer.json()["type"]) == (403, Forbidden.type_uri())


def test_no_token_outlives_the_one_that_made_it(service: Service) -> None:
    now = datetime.now(UTC)
    with service.catalog.writing() as session:
        ending = tokens.create(session, "intern", "lab", "admin", now, now + DAY)
    with as_holder(service, ending.secret) as client:
        assert make(client, expires=(now + 2 * DAY).isoformat()).status_code == 403
        earlier = make(client, expires=(now + DAY / 2).isoformat()).json()
        unsaid = make(client).json()
    assert datetime.fromisoformat(earlier["expires"]) == now + DAY / 2
    assert datetime.fromisoformat(unsaid["expires"]) == now + DAY


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "owner"},
        {"namespace": "../x"},
        {"name": ""},
        {"name": "a\nb"},
        {"expires": "2020-01-01T00:00:00Z"},
        {"expires": "2036-01-01T00:00:00"},  # in which zone?
        {"expires": "2126-01-01T00:00:00Z"},  # for longer than a token may live
        {"colour": "red"},
    ],
)
def test_what_cannot_be_a_token_is_refused(admin: httpx.Client, wrong: dict[str, str]) -> None:
    assert make(admin, **wrong).json()["type"] == InvalidInput.type_uri()


def test_a_server_without_tokens_lets_nobody_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    guesses = ["x", "admin", "sparsegrad", "sg_", "changeme", "default"]
    with running(tmp_path_factory.mktemp("empty") / "data") as fresh:
        for guess in guesses:
            for scheme in (f"Bearer {guess}", f"Basic {guess}"):
                headers = {"Authorization": scheme}
                answer = httpx.get(f"{fresh.url}/v1/bases", headers=headers, timeout=60)
                assert answer.status_code == 401
        with fresh.catalog.reading() as session:
            assert tokens.every(session) == []
