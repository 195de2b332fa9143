"""The search for bases: filters, pages, and what a token sees."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bases import Shape, made, publish
from support.service import Service, running

from sparsegrad_server.catalog import search as search_module
from sparsegrad_shared.bases import BasisList
from sparsegrad_shared.errors import DeletedBasis, InvalidInput

SQUARE = Shape("up", d_out=8, d_in=8)
WIDE = Shape("down", d_out=8, d_in=12)
TALL = Shape("up", d_out=12, d_in=8)
# name, shapes, model, data set, tags
PUBLISHED = [
    ("team/films", [TALL], "acme/Tiny-BERT", "films", ["english", "Good"]),
    ("team/films", [TALL, WIDE], "acme/Tiny-BERT", "films-2", ["english"]),
    ("team/news", [SQUARE, WIDE], "acme/tiny-gpt", "news", []),
    ("team/100-a", [SQUARE], "acme/tiny_gpt", "news", ["draft"]),
    ("others/secret", [TALL], "acme/Tiny-BERT", "films", ["english"]),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("search") / "data") as service:
        yield service


@pytest.fixture(scope="module")
def admin(place: Service) -> Iterator[httpx.Client]:
    """A token for every namespace, over what is published."""
    with place.client("*", "admin") as admin:
        for seed, (name, shapes, model, dataset, tags) in enumerate(PUBLISHED):
            version = publish(admin, name, made(seed, shapes, model=model, dataset=dataset))
            for tag in tags:
                path = f"/v1/bases/{name}/versions/{version.version}/tags/{tag}"
                assert admin.put(path).status_code == 200
        path = "/v1/bases/team/films/aliases/prod"
        admin.put(path, json={"version": 1}, headers={"If-None-Match": "*"})
        yield admin


@pytest.fixture(scope="module")
def team(place: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    with place.client("team", "read") as team:
        yield team


def page(client: httpx.Client, **query: object) -> BasisList:
    answer = client.get("/v1/bases", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return BasisList.model_validate_json(answer.content)


def found(client: httpx.Client, **query: object) -> list[str]:
    return [str(basis) for basis in page(client, **query).bases]


ALL = ["team/100-a@1", "team/news@1", "team/films@2", "team/films@1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"name": "team/films"}, ["team/films@2", "team/films@1"]),
        ({"namespace": "team"}, ALL),
        ({"namespace": "others"}, []),
        ({"model": "acme/Tiny-BERT"}, ["team/films@2", "team/films@1"]),
        ({"model": "acme/tiny-bert"}, []),
        ({"dataset": "news"}, ["team/100-a@1", "team/news@1"]),
        ({"tag": "english"}, ["team/films@2", "team/films@1"]),
        ({"tag": ["english", "Good"]}, ["team/films@1"]),
        ({"tag": "good"}, []),
        ({"alias": "prod"}, ["team/films@1"]),
        ({"shape": "12x8"}, ["team/films@2", "team/films@1"]),
        ({"shape": ["12x8", "8x12"]}, ["team/films@2"]),
        ({"shape": "*x12"}, ["team/news@1", "team/films@2"]),
        ({"shape": "8x*"}, ["team/100-a@1", "team/news@1", "team/films@2"]),
        ({"shape": "9x9"}, []),
        ({"q": "bert"}, ["team/films@2", "team/films@1"]),
        ({"q": "BERT good"}, ["team/films@1"]),
        ({"q": "news tiny"}, ["team/100-a@1", "team/news@1"]),
        ({"q": "team/"}, ALL),
        ({"q": "secret"}, []),
        ({"q": "tiny_g"}, ["team/100-a@1"]),
        ({"q": "%"}, []),
        ({"q": "english", "shape": "*x12", "name": "team/films"}, ["team/films@2"]),
    ],
)
def test_every_filter_that_is_given_has_to_hold(
    team: httpx.Client, query: dict[str, object], expected: list[str]
) -> None:
    assert found(team, **query) == expected


def test_a_token_for_every_namespace_finds_all(admin: httpx.Client) -> None:
    assert found(admin) == ["others/secret@1", *ALL]
    assert found(admin, namespace="others", tag="english") == ["others/secret@1"]


@pytest.mark.parametrize(
    "query",
    [
        {"shape": "12"},
        {"shape": "0x8"},
        {"shape": "12x-1"},
        {"limit": 0},
        {"limit": 1001},
        {"tag": "a b"},
        {"colour": "red"},
        {"q": " ".join("a" * 21)},
        {"q": ""},
        {"after": "nonsense"},
        {"after": "e30"},
        {"after": "WyIyMDI2LTAxLTAxIiwgIi4uIiwgImEiLCAxXQ"},
        {"after": "WyIyMDI2LTAxLTAxIiwgImEiLCAiYSIsIDk5OTk5OTk5OTk5OTk5OTk5OTk5XQ"},
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    team: httpx.Client, query: dict[str, object]
) -> None:
    answer = team.get("/v1/bases", params=query)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["type"]) == (422, InvalidInput.type_uri())


@given(limit=st.integers(1, 6), words=st.sampled_from([None, "team", "tiny", "none"]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_put_together_are_the_whole_list(
    admin: httpx.Client, limit: int, words: str | None
) -> None:
    query = {} if words is None else {"q": words}
    whole = found(admin, **query)
    pages = [page(admin, limit=limit, **query)]
    while pages[-1].next is not None:
        pages.append(page(admin, limit=limit, after=pages[-1].next, **query))
    assert [str(basis) for one in pages for basis in one.bases] == whole
    assert all(len(one.bases) == limit for one in pages[:-1])


def test_what_is_published_between_two_pages_moves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, service.client() as client:
        for seed in range(3):
            publish(client, "team/many", made(seed))
        first = page(client, limit=2)
        publish(client, "team/many", made(3))
        assert client.delete("/v1/bases/team/many/versions/2").status_code == 204
        second = page(client, limit=2, after=first.next)
        assert [str(basis) for basis in (*first.bases, *second.bases)] == [
            "team/many@3",
            "team/many@2",
            "team/many@1",
        ]
        assert second.next is None


@given(sizes=st.lists(st.integers(1, 12 << 20), max_size=30), limit=st.integers(1, 30))
def test_a_page_holds_no_more_than_its_bytes_but_always_something(
    sizes: list[int], limit: int
) -> None:
    fitting = search_module.fitting(sizes, limit)
    assert fitting <= limit
    assert sum(sizes[:fitting]) <= search_module.PAGE_BYTES or fitting == 1
    if sizes:
        assert fitting >= 1
    if fitting < min(limit, len(sizes)):
        assert sum(sizes[: fitting + 1]) > search_module.PAGE_BYTES


def test_newest_come_first(admin: httpx.Client) -> None:
    times = [basis.created for basis in page(admin).bases]
    assert all(later >= earlier for later, earlier in pairwise(times))


def test_a_deleted_version_is_not_found_and_its_reference_says_when_it_went(
    tmp_path: Path,
) -> None:
    basis = made(1)
    with running(tmp_path / "data") as service, service.client() as client:
        publish(client, "team/gone", basis)
        assert client.delete("/v1/bases/team/gone/versions/1").status_code == 204
        assert found(client) == []
        for reference in ("team/gone@1", basis.digest):
            answer = client.get("/v1/bases", params={"ref": reference})
            assert (answer.status_code, answer.json()["type"]) == (410, DeletedBasis.type_uri())
            assert "team/gone@1 was deleted on 20" in answer.json()["detail"]
        assert client.get("/v1/bases", params={"ref": "team/gone"}).status_code == 404
