"""What a job said, over HTTP: page by page, to those who may see the job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.service import Service, running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_shared.errors import InvalidInput, UnknownJob
from sparsegrad_shared.jobs import JobLine, JobLog


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("log") / "data")


@pytest.fixture(scope="module")
def job(bench: Workbench) -> str:
    """A job that is done."""
    return bench.publish(manifest_of([group_of()])).id


@pytest.fixture(scope="module")
def logged(bench: Workbench, job: str) -> Iterator[Service]:
    with running(Path(bench.settings.data)) as service:
        yield service


@pytest.fixture(scope="module")
def team(logged: Service) -> Iterator[httpx.Client]:
    with logged.client(scope="read") as client:
        yield client


def read(client: httpx.Client, job: str, **query: int) -> JobLog:
    answer = client.get(f"/v1/jobs/{job}/log", params=query)
    assert answer.status_code == 200, answer.text
    return JobLog.model_validate_json(answer.content)


def test_pages_follow_one_another_to_the_end(team: httpx.Client, job: str) -> None:
    whole = read(team, job)
    assert whole.next is None
    assert whole.lines[-1].text == "published as version 1"
    lines: list[JobLine] = []
    after: int | None = 0
    while after is not None:
        page = read(team, job, after=after, limit=2)
        lines += page.lines
        after = page.next
    assert tuple(lines) == whole.lines


def test_a_job_that_is_not_there_or_is_another_namespace_s_has_no_log(
    logged: Service, team: httpx.Client, job: str
) -> None:
    with logged.client("other", "admin") as other:
        for client, asked in ((team, "none"), (other, job)):
            answer = client.get(f"/v1/jobs/{asked}/log")
            assert (answer.status_code, answer.json()["type"]) == (404, UnknownJob.type_uri())


@pytest.mark.parametrize("query", [{"after": -1}, {"after": 1 << 63}, {"limit": 0}, {"after": "x"}])
def test_a_page_that_cannot_be_is_refused(
    team: httpx.Client, job: str, query: dict[str, object]
) -> None:
    answer = team.get(f"/v1/jobs/{job}/log", params=query)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["type"]) == (422, InvalidInput.type_uri())
