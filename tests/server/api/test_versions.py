"""What may be done to versions and aliases over HTTP, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support.bases import made, publish
from support.service import Service

from sparsegrad_shared.aliases import AliasList, AliasStatus
from sparsegrad_shared.bases import BasisVersion, VersionMarks
from sparsegrad_shared.errors import (
    DeletedBasis,
    Forbidden,
    InvalidInput,
    PreconditionFailed,
    PreconditionRequired,
    UnknownBasis,
    VersionInUse,
)

NEW = {"If-None-Match": "*"}


def at(version: int) -> dict[str, str]:
    return {"If-Match": f'"{version}"'}


@pytest.fixture
def name(client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A name of the test's own with two versions."""
    name = f"team/{request.node.name.split('[')[0][:60]}"
    for seed in (1, 2):
        publish(client, name, made(seed))
    return name


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    with service.client("team", "admin") as admin:
        yield admin


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"])


def test_tags_are_put_on_and_taken_off(client: httpx.Client, name: str) -> None:
    path = f"/v1/bases/{name}/versions/1"
    for _ in range(2):  # the second changes nothing
        client.put(f"{path}/tags/b-word")
        marks = VersionMarks.model_validate_json(client.put(f"{path}/tags/a-word").content)
        assert (str(marks), marks.tags) == (f"{name}@1", ("a-word", "b-word"))
    shown = BasisVersion.model_validate_json(client.get(path).content)
    assert shown.tags == ("a-word", "b-word")
    for _ in range(2):
        answer = client.delete(f"{path}/tags/a-word")
        assert VersionMarks.model_validate_json(answer.content).tags == ("b-word",)
    assert kind(client.put(f"{path}/tags/two words")) == InvalidInput.type_uri()
    assert kind(client.put(f"/v1/bases/{name}/versions/9/tags/x")) == UnknownBasis.type_uri()


def test_a_pinned_version_is_not_deleted(client: httpx.Client, name: str) -> None:
    path = f"/v1/bases/{name}/versions/1"
    assert VersionMarks.model_validate_json(client.put(f"{path}/pin").content).pinned
    refused = client.delete(path)
    assert (refused.status_code, kind(refused)) == (409, VersionInUse.type_uri())
    assert "pinned" in refused.json()["detail"]
    assert not VersionMarks.model_validate_json(client.delete(f"{path}/pin").content).pinned
    assert client.delete(path).status_code == 204


def test_a_version_that_an_alias_names_is_not_deleted(client: httpx.Client, name: str) -> None:
    alias = f"/v1/bases/{name}/aliases/prod"
    client.put(alias, json={"version": 1}, headers=NEW)
    refused = client.delete(f"/v1/bases/{name}/versions/1")
    assert (refused.status_code, kind(refused)) == (409, VersionInUse.type_uri())
    assert ":prod" in refused.json()["detail"]
    client.put(alias, json={"version": 2}, headers=at(1))
    assert client.delete(f"/v1/bases/{name}/versions/1").status_code == 204


def test_a_deleted_version_is_gone_everywhere(client: httpx.Client, name: str) -> None:
    path = f"/v1/bases/{name}/versions/2"
    assert client.delete(path).status_code == 204
    again = [
        client.delete(path),
        client.get(path),
        client.get(f"{path}/files/manifest.json"),
        client.put(f"{path}/pin"),
        client.put(f"{path}/tags/x"),
        client.put(f"/v1/bases/{name}/aliases/prod", json={"version": 2}, headers=NEW),
    ]
    assert {(answer.status_code, kind(answer)) for answer in again} == {
        (410, DeletedBasis.type_uri())
    }
    latest = client.get("/v1/bases", params={"ref": name}).json()["bases"][0]
    assert latest["version"] == 1


def test_the_number_of_a_deleted_version_is_never_given_out_again(
    client: httpx.Client, name: str
) -> None:
    client.delete(f"/v1/bases/{name}/versions/2")
    assert str(publish(client, name, made(2))) == f"{name}@3"
    client.delete(f"/v1/bases/{name}/versions/3")
    client.delete(f"/v1/bases/{name}/versions/1")
    assert str(publish(client, name, made(7))) == f"{name}@4"


def test_a_protected_alias_is_an_admins_to_move_and_delete(
    client: httpx.Client, admin: httpx.Client, name: str
) -> None:
    path = f"/v1/bases/{name}/aliases/prod"
    client.put(path, json={"version": 1}, headers=NEW)
    for refused in (client.put(f"{path}/protection"), client.delete(f"{path}/protection")):
        assert kind(refused) == Forbidden.type_uri()
    assert AliasStatus.model_validate_json(admin.put(f"{path}/protection").content).protected
    moved = client.put(path, json={"version": 2}, headers=at(1))
    deleted = client.delete(path, headers=at(1))
    assert kind(moved) == kind(deleted) == Forbidden.type_uri()
    assert f"{name}:prod is protected" in moved.json()["detail"]
    status = AliasStatus.model_validate_json(client.get(path).content)
    assert (status.version, len(status.history)) == (1, 1)
    moved = admin.put(path, json={"version": 2}, headers=at(1))
    assert AliasStatus.model_validate_json(moved.content).protected
    admin.delete(f"{path}/protection")
    assert client.put(path, json={"version": 1}, headers=at(2)).status_code == 200


def test_a_deleted_alias_says_what_it_named_and_goes_on_with_its_history(
    client: httpx.Client, name: str
) -> None:
    path = f"/v1/bases/{name}/aliases/prod"
    assert kind(client.put(f"{path}/protection")) == Forbidden.type_uri()
    client.put(path, json={"version": 2}, headers=NEW)
    assert kind(client.delete(path)) == PreconditionRequired.type_uri()
    assert kind(client.delete(path, headers=at(1))) == PreconditionFailed.type_uri()
    assert kind(client.delete(path, headers={"If-Match": "2"})) == InvalidInput.type_uri()
    assert client.delete(path, headers=at(2)).status_code == 204
    gone = client.get(path)
    assert (gone.status_code, kind(gone)) == (410, DeletedBasis.type_uri())
    assert "by tests; it named version 2" in gone.json()["detail"]
    client.put(path, json={"version": 1}, headers=NEW)
    history = AliasStatus.model_validate_json(client.get(path).content).history
    assert [change.version for change in history] == [1, None, 2]


def test_the_aliases_of_a_name_are_listed(client: httpx.Client, name: str) -> None:
    for alias, version in (("staging", 2), ("prod", 1)):
        client.put(f"/v1/bases/{name}/aliases/{alias}", json={"version": version}, headers=NEW)
    listed = AliasList.model_validate_json(client.get(f"/v1/bases/{name}/aliases").content)
    assert [(str(one), one.version) for one in listed.aliases] == [
        (f"{name}:prod", 1),
        (f"{name}:staging", 2),
    ]
    assert kind(client.get("/v1/bases/team/nothing/aliases")) == UnknownBasis.type_uri()


def test_readers_and_other_teams_change_nothing(
    service: Service, client: httpx.Client, name: str
) -> None:
    client.put(f"/v1/bases/{name}/aliases/prod", json={"version": 1}, headers=NEW)
    changes = [
        ("PUT", f"/v1/bases/{name}/versions/1/tags/x"),
        ("DELETE", f"/v1/bases/{name}/versions/1/tags/x"),
        ("PUT", f"/v1/bases/{name}/versions/1/pin"),
        ("DELETE", f"/v1/bases/{name}/versions/1/pin"),
        ("DELETE", f"/v1/bases/{name}/versions/2"),
        ("DELETE", f"/v1/bases/{name}/aliases/prod"),
        ("PUT", f"/v1/bases/{name}/aliases/prod/protection"),
    ]
    with service.client("team", "read") as reader, service.client("rivals", "admin") as rival:
        for method, path in changes:
            assert kind(reader.request(method, path, headers=at(1))) == Forbidden.type_uri()
            answer = rival.request(method, path, headers=at(1))
            assert kind(answer) == UnknownBasis.type_uri(), path
    shown = BasisVersion.model_validate_json(client.get(f"/v1/bases/{name}/versions/1").content)
    assert (shown.tags, shown.pinned, shown.aliases) == ((), False, ("prod",))


def test_a_race_for_a_deletion_has_one_winner(client: httpx.Client, name: str) -> None:
    def change(number: int) -> int:
        if number % 2:
            return client.delete(f"/v1/bases/{name}/versions/2").status_code
        path = f"/v1/bases/{name}/aliases/prod"
        return client.put(path, json={"version": 2}, headers=NEW).status_code

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(change, range(8)))
    assert sorted(status for status in done if status < 300) in ([200], [204])
    shown = client.get(f"/v1/bases/{name}/versions/2").status_code
    assert (shown == 200) == (200 in done)
