"""The outermost layer: its headers on every answer, every error a problem, no stranger's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from support.service import Service, running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_shared.errors import PROBLEM_MEDIA_TYPE, Overloaded, Problem, ServerFault

FILE = "/v1/bases/team/tiny/versions/1/files/up.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    bench = Workbench(tmp_path_factory.mktemp("guard") / "data")
    assert bench.publish(manifest_of([group_of()])).state == "done"
    with running(bench.settings.data, allowed_hosts="127.0.0.1") as service:
        yield service


@pytest.fixture(scope="module")
def team(published: Service) -> Iterator[httpx.Client]:
    with published.client() as client:
        yield client


def assert_guarded(answer: httpx.Response) -> None:
    """The headers that every answer has."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"]
    assert len(answer.headers["x-request-id"]) >= 1
    assert "strict-transport-security" not in answer.headers  # there is no TLS here


def assert_problem(answer: httpx.Response, status: int) -> Problem:
    assert_guarded(answer)
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == status
    assert problem.request_id == answer.headers["x-request-id"]
    return problem


def test_answers_of_every_kind_have_the_headers(team: httpx.Client) -> None:
    for path in ("/livez", "/docs", "/openapi.json", "/v1/bases", FILE, "/nowhere"):
        assert_guarded(team.get(path))
    assert_guarded(team.head("/livez"))
    assert_guarded(team.options("/v1/bases"))


def test_a_file_may_be_kept_and_everything_else_not(team: httpx.Client) -> None:
    assert "immutable" in team.get(FILE).headers["cache-control"]
    assert team.get("/v1/bases").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("value", "status"), [("bytes=999999999-", 416), ("bytes=x-y", 400), ("furlongs=1-2", 400)]
)
def test_a_range_that_cannot_be_had_is_a_problem(
    team: httpx.Client, value: str, status: int
) -> None:
    answer = team.get(FILE, headers={"Range": value})
    assert_problem(answer, status)
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(team.get(FILE).content)}"


def test_a_method_that_a_path_has_not_is_a_problem_that_names_those_it_has(
    team: httpx.Client,
) -> None:
    answer = team.patch("/v1/bases")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "[::1]:80"])
def test_a_name_that_is_not_the_server_s_is_refused(team: httpx.Client, host: str) -> None:
    assert_problem(team.get("/v1/bases", headers={"Host": host}), 403)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_ask_by_whatever_name(team: httpx.Client, path: str) -> None:
    assert team.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200


def test_what_nobody_foresaw_is_a_problem_that_tells_nothing_but_the_request(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "data") as service, service.client() as client:
        with service.catalog.writing() as session:
            session.execute(text("DROP TABLE aliases"))
        answer = client.get("/v1/bases/team/tiny/aliases/prod")
        problem = assert_problem(answer, 500)
        assert problem.type == ServerFault.type_uri()
        assert problem.request_id is not None
        assert problem.request_id in problem.detail
        assert "aliases" not in problem.detail
        assert_guarded(answer)


def test_a_token_that_comes_too_often_has_to_wait_and_is_told_how_long(tmp_path: Path) -> None:
    limits = {"requests_per_second": 0.01, "request_burst": 3}
    with (
        running(tmp_path / "data", **limits) as service,
        service.client() as eager,
        service.client() as other,
    ):
        answers = [eager.get("/v1/bases") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == [
            "r=2", "r=1", "r=0", "r=0",
        ]  # fmt: skip
        assert answers[0].headers["ratelimit-policy"] == '"requests";q=3;w=300'
        problem = assert_problem(answers[3], 429)
        assert problem.type == Overloaded.type_uri()
        assert 0 < int(answers[3].headers["retry-after"]) <= 100
        assert other.get("/v1/bases").status_code == 200
        assert eager.get("/livez").status_code == 200  # needs no token


def test_an_address_that_shows_bad_tokens_has_to_wait(tmp_path: Path) -> None:
    with running(tmp_path / "data", failures_per_minute=2) as service, service.client() as good:
        assert good.get("/v1/bases").status_code == 200
        unknown = {"Authorization": "Bearer sg_" + 43 * "A" + "DCtZhg"}
        codes = [good.get("/v1/bases", headers=unknown).status_code for _ in range(4)]
        assert codes == [401, 401, 429, 429]
        assert good.get("/v1/bases").status_code == 200
