"""Jobs, bases and aliases over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse
from safetensors.numpy import load
from sqlalchemy import select
from support.service import Service, running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.api.jobs import MOST_STREAMS
from sparsegrad_server.app import create_app
from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.jobs import queue
from sparsegrad_shared.aliases import AliasStatus
from sparsegrad_shared.bases import BasisDifference, BasisList, BasisVersion
from sparsegrad_shared.digests import content_digest, digest_of
from sparsegrad_shared.errors import (
    InvalidInput,
    InvalidReference,
    NotFound,
    Overloaded,
    PreconditionFailed,
    PreconditionRequired,
    ShapeMismatch,
    UnknownBasis,
    UnknownJob,
)
from sparsegrad_shared.jobs import JOB_EVENT, JobStatus

GROUP = group_of(gradients=4, held_out=1)
FILE = "/v1/bases/team/tiny/versions/1/files/up.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published") / "data"


@pytest.fixture(scope="module")
def bench(place: Path) -> Workbench:
    """Two versions of team/tiny, one basis of other shapes, one of another team."""
    bench = Workbench(place)
    for manifest in (
        manifest_of([GROUP]),
        manifest_of([GROUP], rank=3),
        manifest_of([group_of(d_out=9, gradients=2, held_out=0)], name="team/wider"),
        manifest_of([GROUP], name="others/secret", energy=0.5),
    ):
        assert bench.publish(manifest).state == "done"
    return bench


@pytest.fixture(scope="module")
def published(bench: Workbench) -> Iterator[Service]:
    with running(bench.settings.data) as service:
        yield service


@pytest.fixture(scope="module")
def team(published: Service) -> Iterator[httpx.Client]:
    with published.client("team") as client:
        yield client


def bases(answer: httpx.Response) -> list[BasisVersion]:
    assert answer.status_code == 200, answer.text
    return list(BasisList.model_validate_json(answer.content).bases)


def found(client: httpx.Client, **query: str | int) -> list[str]:
    return [str(basis) for basis in bases(client.get("/v1/bases", params=query))]


def test_a_search_answers_what_the_token_may_see_newest_first(
    published: Service, team: httpx.Client
) -> None:
    assert found(team) == ["team/wider@1", "team/tiny@2", "team/tiny@1"]
    assert found(team, limit=1) == ["team/wider@1"]
    assert found(team, name="team/tiny") == ["team/tiny@2", "team/tiny@1"]
    assert found(team, name="others/secret") == []
    assert found(team, model="tiny") == found(team)
    assert found(team, model="tin") == found(team, model="TinyModel") == []
    with published.client("*", "read") as anyone:
        assert "others/secret@1" in found(anyone)


def test_every_form_of_a_reference_finds_the_one_basis_that_it_names(team: httpx.Client) -> None:
    (second,) = bases(team.get("/v1/bases", params={"ref": "team/tiny"}))
    assert str(second) == "team/tiny@2"
    assert found(team, ref="team/tiny@1") == ["team/tiny@1"]
    assert found(team, ref=second.digest) == ["team/tiny@2"]
    target = {"version": 1}
    path = "/v1/bases/team/tiny/aliases/by-reference"
    assert team.put(path, json=target, headers={"If-None-Match": "*"}).status_code == 200
    (first,) = bases(team.get("/v1/bases", params={"ref": "team/tiny:by-reference"}))
    assert (str(first), first.aliases) == ("team/tiny@1", ("by-reference",))


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("team/tiny@7", "@2, @1"),
        ("team/tiny:none", "@2, @1"),
        ("team/none", "team/none"),
        ("others/secret", "others/secret"),
        (f"sha256:{64 * '0'}", "no basis sha256:"),
    ],
)
def test_a_reference_to_nothing_says_what_there_is(
    team: httpx.Client, reference: str, said: str
) -> None:
    answer = team.get("/v1/bases", params={"ref": reference})
    assert (answer.status_code, answer.json()["type"]) == (404, UnknownBasis.type_uri())
    assert said in answer.json()["detail"]


def test_what_is_no_reference_is_refused_with_the_forms_that_there_are(team: httpx.Client) -> None:
    answer = team.get("/v1/bases", params={"ref": "../../etc/passwd"})
    assert (answer.status_code, answer.json()["type"]) == (422, InvalidReference.type_uri())


def test_a_version_tells_where_it_comes_from(team: httpx.Client) -> None:
    answer = team.get("/v1/bases/team/tiny/versions/1")
    basis = BasisVersion.model_validate_json(answer.content)
    assert basis.manifest.digest() == basis.digest
    assert basis.calibration.startswith("cal-")
    assert basis.manifest.group("up").layers == GROUP.layers


def test_a_file_is_its_digest_and_may_be_kept_for_ever(team: httpx.Client) -> None:
    basis = BasisVersion.model_validate_json(team.get("/v1/bases/team/tiny/versions/1").content)
    entry = basis.manifest.group("up").file
    answer = team.get(FILE)
    assert digest_of([answer.content]) == entry.digest
    assert answer.headers["etag"] == f'"{entry.digest}"'
    assert answer.headers["content-digest"] == content_digest(entry.digest)
    assert "immutable" in answer.headers["cache-control"]
    assert set(load(answer.content)) == {"U", "V", "eigenvalues_in", "eigenvalues_out"}
    manifest = team.get("/v1/bases/team/tiny/versions/1/files/manifest.json")
    assert digest_of([manifest.content]) == basis.digest
    assert manifest.headers["content-type"] == "application/json"


def test_a_file_that_the_client_has_is_not_sent_again(team: httpx.Client) -> None:
    etag = team.get(FILE).headers["etag"]
    for header in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = team.get(FILE, headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert team.get(FILE, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_download_that_was_cut_off_goes_on_where_it_was(team: httpx.Client) -> None:
    whole = team.get(FILE)
    size = len(whole.content)
    for span, expected in (
        ("bytes=10-19", whole.content[10:20]),
        (f"bytes={size - 7}-", whole.content[-7:]),
        ("bytes=-5", whole.content[-5:]),
    ):
        answer = team.get(FILE, headers={"Range": span, "If-Range": whole.headers["etag"]})
        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["content-range"].endswith(f"/{size}")
        # The digest of the content would be another one; that of the whole is said to be so.
        assert "content-digest" not in answer.headers
        assert answer.headers["repr-digest"] == whole.headers["content-digest"]
    changed = team.get(FILE, headers={"Range": "bytes=10-19", "If-Range": '"older"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    beyond = team.get(FILE, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    "name", ["down.safetensors", "..%2Fmanifest.json", "%2e%2e%2f%2e%2e%2fcatalog.sqlite"]
)
def test_only_files_that_the_manifest_lists_are_served(team: httpx.Client, name: str) -> None:
    answer = team.get(f"/v1/bases/team/tiny/versions/1/files/{name}")
    assert answer.status_code == 404
    assert answer.json()["type"] == NotFound.type_uri()


def test_a_token_that_follows_as_many_jobs_as_it_may_is_told_to_come_again(
    bench: Workbench,
) -> None:
    app = create_app(bench.settings)
    with bench.catalog.writing() as session:
        token = tokens.create(session, "ci", "team", "read", datetime.now(UTC))
        job = session.scalars(select(JobRow).where(JobRow.kind == "publish")).first()
        assert job is not None
    headers = {"Authorization": f"Bearer {token.secret}"}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(f"/v1/jobs/{job.id}/events", headers=headers)

    with ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            stack.enter_context(app.state.job_streams.one_more(token.id))
        refused = asyncio.run(ask())
    assert (refused.status_code, refused.json()["type"]) == (429, Overloaded.type_uri())
    assert float(refused.headers["retry-after"]) > 0
    assert asyncio.run(ask()).status_code == 200


def test_other_teams_things_are_not_there(
    bench: Workbench, published: Service, team: httpx.Client
) -> None:
    with published.client("*", "admin") as admin:
        (secret,) = bases(admin.get("/v1/bases", params={"ref": "others/secret"}))
        calibration = admin.get(f"/v1/calibrations/{secret.calibration}").json()
        for path in (
            "/v1/bases/others/secret/versions/1",
            "/v1/bases/others/secret/versions/1/files/manifest.json",
            f"/v1/bases/{secret.digest}/diff/{secret.digest}",
            f"/v1/jobs/{calibration['job'] or _job_of(bench, secret.calibration)}",
            "/v1/bases/others/secret/aliases/prod",
        ):
            assert team.get(path).status_code == 404, path
            assert "Forbidden" not in team.get(path).text
        assert admin.get("/v1/bases/others/secret/versions/1").status_code == 200


def _job_of(bench: Workbench, calibration: str) -> str:
    with bench.catalog.writing() as session:
        return queue.enqueue_publish(session, calibration).id


def test_two_bases_are_compared_group_by_group(team: httpx.Client) -> None:
    first, second, wider = (
        bases(team.get("/v1/bases", params={"ref": ref}))[0].digest
        for ref in ("team/tiny@1", "team/tiny@2", "team/wider@1")
    )
    answer = team.get(f"/v1/bases/{first}/diff/{second}")
    difference = BasisDifference.model_validate_json(answer.content)
    (group,) = difference.groups
    assert (difference.a, difference.b) == (first, second)
    assert (group.rank_in, group.rank_out) == (3, 3)
    assert max(*group.angles_in, *group.angles_out) < 1e-3  # a truncation of the same basis
    refused = team.get(f"/v1/bases/{first}/diff/{wider}")
    assert (refused.status_code, refused.json()["type"]) == (422, ShapeMismatch.type_uri())
    assert "up" in refused.json()["detail"]


def test_an_alias_moves_only_from_where_its_mover_believes_it_is(team: httpx.Client) -> None:
    path = "/v1/bases/team/tiny/aliases/prod"
    new, one = {"If-None-Match": "*"}, {"If-Match": '"1"'}
    assert team.get(path).status_code == 404
    made = team.put(path, json={"version": 1}, headers=new)
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    moved = team.put(path, json={"version": 2}, headers=one)
    assert (moved.status_code, moved.headers["etag"]) == (200, '"2"')
    blind = team.put(path, json={"version": 1})
    assert (blind.status_code, blind.json()["type"]) == (428, PreconditionRequired.type_uri())
    for headers in (new, one):
        lost = team.put(path, json={"version": 1}, headers=headers)
        assert (lost.status_code, lost.json()["type"]) == (412, PreconditionFailed.type_uri())
    for headers in ({"If-Match": "2"}, {"If-Match": "*"}, {"If-Match": '"2"', **new}):
        wrong = team.put(path, json={"version": 1}, headers=headers)
        assert (wrong.status_code, wrong.json()["type"]) == (422, InvalidInput.type_uri())
    absent = team.put(path, json={"version": 9}, headers={"If-Match": '"2"'})
    assert (absent.status_code, absent.json()["type"]) == (404, UnknownBasis.type_uri())
    status = AliasStatus.model_validate_json(team.get(path).content)
    assert status.version == 2
    assert [(change.version, change.by) for change in status.history] == [
        (2, "tests"),
        (1, "tests"),
    ]


def test_of_many_movers_at_once_exactly_one_wins(team: httpx.Client) -> None:
    path = "/v1/bases/team/tiny/aliases/raced"

    def move(version: int, headers: dict[str, str]) -> int:
        return team.put(path, json={"version": version}, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: move(1, {"If-None-Match": "*"}), range(8)))
        moved = list(pool.map(lambda _: move(2, {"If-Match": '"1"'}), range(8)))
    assert sorted(made) == sorted(moved) == [200] + 7 * [412]
    history = AliasStatus.model_validate_json(team.get(path).content).history
    assert [change.version for change in history] == [2, 1]


def test_a_reader_may_not_move_an_alias(published: Service) -> None:
    with published.client("team", "read") as reader:
        path = "/v1/bases/team/tiny/aliases/mine"
        answer = reader.put(path, json={"version": 1}, headers={"If-None-Match": "*"})
        assert answer.status_code == 403
        assert reader.get(path).status_code == 404


def test_a_job_is_followed_from_its_present_state_to_its_end(
    bench: Workbench, team: httpx.Client
) -> None:
    calibration = bench.open(manifest_of([GROUP], rank=2))
    bench.store_all(calibration, GROUP)
    job = bench.finish(calibration)
    states: list[JobStatus] = []
    with connect_sse(team, "GET", f"/v1/jobs/{job}/events") as events:
        for event in events.iter_sse():
            assert event.event == JOB_EVENT
            states.append(JobStatus.model_validate(json.loads(event.data)))
            if len(states) == 1:
                bench.work()
    assert (states[0].state, states[-1].state) == ("queued", "done")
    assert all(before != after for before, after in pairwise(states))
    assert states[-1].basis is not None
    assert states[-1] == JobStatus.model_validate_json(team.get(f"/v1/jobs/{job}").content)
    with connect_sse(team, "GET", f"/v1/jobs/{job}/events") as events:
        assert len(list(events.iter_sse())) == 1  # it has ended: its state, and the end


def test_following_a_job_that_is_not_there_is_refused_before_the_stream(
    team: httpx.Client,
) -> None:
    for path in ("/v1/jobs/none", "/v1/jobs/none/events"):
        answer = team.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, UnknownJob.type_uri())


def test_a_failed_job_tells_why(bench: Workbench, team: httpx.Client) -> None:
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    folder = bench.settings.gradients_folder / calibration
    for chunk in folder.rglob("c.2.0.0"):
        chunk.unlink()
    job = bench.finish(calibration)
    bench.work()
    status = JobStatus.model_validate_json(team.get(f"/v1/jobs/{job}").content)
    assert status.state == "failed"
    assert status.error is not None
    assert "up/2" in status.error.detail
    assert status.updated <= datetime.now(UTC)


def test_many_comparisons_at_once_are_answered_or_told_to_come_again(team: httpx.Client) -> None:
    digests = [
        bases(team.get("/v1/bases", params={"ref": ref}))[0].digest
        for ref in ("team/tiny@1", "team/tiny@2")
    ]
    path = f"/v1/bases/{digests[0]}/diff/{digests[1]}"
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: team.get(path), range(60)))
    compared = {answer.content for answer in answers if answer.status_code == 200}
    assert len(compared) == 1
    for answer in answers:
        assert answer.status_code in (200, 429)
        assert answer.status_code == 200 or answer.headers["retry-after"] == "2"
