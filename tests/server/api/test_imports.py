"""Bases from elsewhere, over HTTP: what is taken, what is refused, and what is never sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from support.bases import MadeBasis, Shape, begin, made, orthonormal, publish, send_file
from support.service import Service, running

from sparsegrad_shared.bases import (
    REPORT_FILE,
    BasisManifest,
    BasisVersion,
    ImportStatus,
)
from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import (
    BodyTooLarge,
    Conflict,
    DigestMismatch,
    Forbidden,
    InvalidInput,
    InvalidTensor,
    NotFound,
    ShapeMismatch,
)

TWO = (Shape("up"), Shape("down", d_out=8, d_in=12, rank_out=8, rank_in=12))


@pytest.fixture(autouse=True)
def _no_import_stays(service: Service, client: httpx.Client) -> Iterator[None]:
    """What a test leaves under way is given up."""
    yield
    for folder in service.settings.imports_folder.glob("team/*"):
        answer = client.delete(f"/v1/bases/team/any/imports/sha256:{folder.name}")
        assert answer.status_code == 204
    assert left_over(service) == []


def missing(answer: httpx.Response) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return [entry.name for entry in ImportStatus.model_validate_json(answer.content).missing]


def downloaded(client: httpx.Client, name: str, version: int) -> dict[str, bytes]:
    path = f"/v1/bases/{name}/versions/{version}"
    basis = BasisVersion.model_validate_json(client.get(path).content)
    return {
        entry.name: client.get(f"{path}/files/{entry.name}").content
        for entry in basis.manifest.files()
    }


def left_over(service: Service) -> list[Path]:
    """Files of imports, drafts and staging that nothing will use any more."""
    settings = service.settings
    folders = (settings.imports_folder, settings.partial_folder, settings.staging_folder)
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_a_basis_comes_in_file_by_file_and_goes_out_as_it_came(client: httpx.Client) -> None:
    basis = made(1, TWO)
    assert missing(begin(client, "team/two", basis)) == list(basis.files)
    assert send_file(client, "team/two", basis, "up.safetensors").status_code == 204
    assert missing(begin(client, "team/two", basis)) == ["down.safetensors", REPORT_FILE]
    version = publish(client, "team/two", basis)
    assert (str(version), version.digest) == ("team/two@1", basis.digest)
    assert downloaded(client, "team/two", 1) == basis.files
    found = BasisVersion.model_validate_json(client.get("/v1/bases/team/two/versions/1").content)
    assert (found.calibration, found.created_by) == (None, "tests")


def test_what_is_there_is_never_sent_again_and_is_on_the_disk_once(
    service: Service, client: httpx.Client
) -> None:
    basis = made(2)
    publish(client, "team/first", basis)
    folders = sorted(service.settings.bases_folder.iterdir())
    for name, version in (("team/first", 1), ("team/second", 1)):
        answer = begin(client, name, basis)
        assert (answer.status_code, missing(answer)) == (201, [])
        status = ImportStatus.model_validate_json(answer.content)
        assert status.version is not None
        assert str(status.version) == f"{name}@{version}"
    assert sorted(service.settings.bases_folder.iterdir()) == folders
    assert downloaded(client, "team/second", 1) == basis.files


def test_an_import_mends_a_basis_that_the_disk_has_damaged(
    service: Service, client: httpx.Client
) -> None:
    basis = made(21)
    publish(client, "team/mended", basis)
    folder = service.settings.bases_folder / basis.digest.removeprefix("sha256:")
    (folder / "up.safetensors").write_bytes(b"damaged")
    assert missing(begin(client, "team/mended", basis)) == list(basis.files)
    assert str(publish(client, "team/mended", basis)) == "team/mended@1"
    assert downloaded(client, "team/mended", 1) == basis.files


def test_knowing_a_digest_is_not_enough_to_claim_another_teams_basis(service: Service) -> None:
    basis = made(3)
    with service.client("owners") as owners, service.client("rivals") as rivals:
        publish(owners, "owners/secret", basis)
        assert missing(begin(rivals, "rivals/mine", basis)) == list(basis.files)
        assert rivals.get("/v1/bases", params={"digest": basis.digest}).json()["bases"] == []
        publish(rivals, "rivals/mine", basis)  # who has the files has the basis


def test_an_import_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    basis = made(4, TWO)
    with running(tmp_path / "data") as service, service.client() as client:
        begin(client, "team/cut", basis)
        send_file(client, "team/cut", basis, "down.safetensors")
        service.kill()
    with running(tmp_path / "data") as service, service.client() as client:
        assert missing(begin(client, "team/cut", basis)) == ["up.safetensors", REPORT_FILE]
        publish(client, "team/cut", basis)
        assert downloaded(client, "team/cut", 1) == basis.files
        assert left_over(service) == []


def test_an_import_begins_anew_after_one_that_was_half_removed(
    service: Service, client: httpx.Client
) -> None:
    basis = made(22)
    begin(client, "team/half", basis)
    send_file(client, "team/half", basis, "up.safetensors")
    folder = service.settings.imports_folder / "team" / basis.digest.removeprefix("sha256:")
    (folder / "manifest.json").unlink()
    assert missing(begin(client, "team/half", basis)) == list(basis.files)
    publish(client, "team/half", basis)


def test_a_file_that_is_not_the_one_announced_is_refused(client: httpx.Client) -> None:
    basis = made(5)
    begin(client, "team/lies", basis)
    content = basis.files["up.safetensors"]
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path = f"/v1/bases/team/lies/imports/{basis.digest}/files/up.safetensors"
    told = send_file(client, "team/lies", basis, "up.safetensors", changed)
    assert told.json()["type"] == DigestMismatch.type_uri()
    headers = {"Content-Digest": client.get("/livez").headers.get("content-digest", "")}
    assert client.put(path, content=content, headers=headers).status_code == 422
    right = send_file(client, "team/lies", basis, "up.safetensors").request.headers
    lied = client.put(path, content=changed, headers={"Content-Digest": right["content-digest"]})
    assert lied.json()["type"] == DigestMismatch.type_uri()
    short = send_file(client, "team/lies", basis, "up.safetensors", content[:-9])
    assert short.json()["type"] == DigestMismatch.type_uri()
    long = send_file(client, "team/lies", basis, "up.safetensors", content + b"!")
    assert long.json()["type"] == BodyTooLarge.type_uri()


@pytest.mark.parametrize(
    "file", ["other.safetensors", "manifest.json", "..%2F..%2Fcatalog.sqlite", "%2Fetc%2Fpasswd"]
)
def test_only_files_of_the_manifest_are_taken(
    service: Service, client: httpx.Client, file: str
) -> None:
    basis = made(6)
    begin(client, "team/names", basis)
    before = sorted(service.settings.data.rglob("*.sqlite"))
    answer = client.put(f"/v1/bases/team/names/imports/{basis.digest}/files/{file}", content=b"{}")
    assert (answer.status_code, answer.json()["type"]) == (404, NotFound.type_uri())
    assert sorted(service.settings.data.rglob("*.sqlite")) == before


def test_a_file_without_its_manifest_is_refused(client: httpx.Client) -> None:
    answer = send_file(client, "team/none", made(7), "up.safetensors")
    assert answer.json()["type"] == NotFound.type_uri()
    assert "manifest first" in answer.json()["detail"]


def changed_manifest(basis: MadeBasis, **changes: Any) -> MadeBasis:
    """The same files under a manifest whose first group, or itself, says something else."""
    group = basis.manifest.groups[0]
    of_group = {name: value for name, value in changes.items() if name in type(group).model_fields}
    of_manifest = {name: value for name, value in changes.items() if name not in of_group}
    if of_group:
        first = group.model_copy(update=of_group)
        of_manifest["groups"] = (first, *basis.manifest.groups[1:])
    return MadeBasis(basis.manifest.model_copy(update=of_manifest), basis.files)


BASIS = made(8)
GROUP = BASIS.manifest.groups[0]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"groups": ()}, InvalidInput, "1 to 1000 groups"),
        ({"groups": (GROUP, GROUP)}, InvalidInput, "group 'up' is named more than once"),
        (
            {"groups": (GROUP, GROUP.model_copy(update={"name": "down"}))},
            InvalidInput,
            "layer 'encoder.0.up' is named more than once",
        ),
        ({"layers": ()}, InvalidInput, "at least one layer"),
        ({"rank_in": 9}, InvalidInput, "rank_in 9, d_in 8"),
        ({"rank_out": 0}, InvalidInput, "rank_out 0"),
        ({"d_out": 1 << 40}, InvalidInput, "d_out 1099511627776"),
        ({"zero_gradients": 5}, InvalidInput, "contradict"),
        ({"d_out": 13}, InvalidInput, None),
        (
            {"file": GROUP.file.model_copy(update={"name": "report.json"})},
            InvalidInput,
            "its file is up.safetensors; got 'report.json'",
        ),
        ({"file": GROUP.file.model_copy(update={"bytes": 1 << 60})}, InvalidInput, "a little over"),
        (
            {"report": BASIS.manifest.report.model_copy(update={"name": "up.safetensors"})},
            InvalidInput,
            "the report is report.json",
        ),
        (
            {"report": BASIS.manifest.report.model_copy(update={"bytes": 1 << 40})},
            BodyTooLarge,
            "report.json",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    client: httpx.Client, changes: dict[str, Any], error: type[InvalidInput], said: str | None
) -> None:
    basis = changed_manifest(BASIS, **changes)
    answer = begin(client, "team/wrong", basis)
    if said is None:  # within the room for a header: found when the file is looked into
        answer = send_file(client, "team/wrong", basis, "up.safetensors")
        assert answer.json()["type"] == ShapeMismatch.type_uri()
        return
    assert answer.json()["type"] == error.type_uri(), answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "name", ["../up.safetensors", "/etc/passwd", "..", "a/b", "C:\\up", "up\x00", ""]
)
def test_a_manifest_with_a_path_for_a_name_is_refused(client: httpx.Client, name: str) -> None:
    manifest = BASIS.manifest.model_dump(mode="json")
    manifest["groups"][0]["file"]["name"] = name
    answer = client.put(f"/v1/bases/team/slip/imports/{BASIS.digest}", json=manifest)
    assert answer.json()["type"] == InvalidInput.type_uri()
    assert "file.name" in answer.json()["detail"]


def test_a_manifest_of_another_digest_is_refused(client: httpx.Client) -> None:
    other = MadeBasis(BASIS.manifest, BASIS.files)
    answer = client.put(
        f"/v1/bases/team/other/imports/{made(9).digest}",
        content=other.manifest.canonical_bytes(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.json()["type"] == DigestMismatch.type_uri()


def twice_a_column(rows: int, columns: int) -> Any:
    matrix = orthonormal(3, rows, columns)
    matrix[:, 1] = matrix[:, 0]
    return matrix


@pytest.mark.parametrize(
    ("tensors", "error", "said"),
    [
        ({"U": 1.01 * orthonormal(1, 8, 4)}, InvalidTensor, "U: its columns are not orthonormal"),
        ({"V": twice_a_column(12, 5)}, InvalidTensor, "V: its columns are not orthonormal"),
        ({"U": np.full((8, 4), np.nan, np.float32)}, InvalidTensor, "U: its columns"),
        ({"V": np.full((12, 5), np.inf, np.float32)}, InvalidTensor, "V: its columns"),
        ({"U": np.zeros((8, 4), np.float32)}, InvalidTensor, "U: its columns"),
        ({"U": orthonormal(1, 4, 4)[:, :2].reshape(2, 4)}, ShapeMismatch, "U: expected float32"),
        ({"U": orthonormal(1, 8, 4).T.copy()}, ShapeMismatch, "of shape (8, 4), got"),
        ({"V": orthonormal(1, 12, 5).astype(np.float16)}, ShapeMismatch, "got float16"),
        ({"eigenvalues_in": np.array([1.0, 2, 3, 4])}, InvalidTensor, "falling"),
        ({"eigenvalues_in": np.array([4.0, 2, 1, -1])}, InvalidTensor, "at least 0"),
        ({"eigenvalues_out": np.full(5, np.nan)}, InvalidTensor, "finite"),
        ({"W": np.zeros((2, 2), np.float32)}, InvalidTensor, "expected tensors U, V"),
    ],
)
def test_a_file_that_holds_no_basis_is_refused_though_its_digest_is_right(
    client: httpx.Client, tensors: dict[str, Any], error: type[InvalidInput], said: str
) -> None:
    basis = made(10, tensors=tensors)
    assert begin(client, "team/bad", basis).status_code == 200
    answer = send_file(client, "team/bad", basis, "up.safetensors")
    assert answer.json()["type"] == error.type_uri(), answer.text
    assert answer.json()["detail"].startswith("up.safetensors: ")
    assert said in answer.json()["detail"]
    assert "up.safetensors" in missing(begin(client, "team/bad", basis))


def test_a_report_that_is_none_or_of_other_groups_is_refused(client: httpx.Client) -> None:
    for content in (b"{}", b"not JSON", made(1, TWO).files[REPORT_FILE]):
        entry = BASIS.manifest.report.model_copy(
            update={"digest": digest_of([content]), "bytes": len(content)}
        )
        basis = changed_manifest(BASIS, report=entry)
        assert begin(client, "team/report", basis).status_code == 200
        answer = send_file(client, "team/report", basis, REPORT_FILE, content)
        assert answer.json()["type"] == InvalidInput.type_uri()
        assert answer.json()["detail"].startswith(REPORT_FILE)


def test_a_full_basis_of_a_real_size_is_orthonormal_enough(client: httpx.Client) -> None:
    full = Shape("full", d_out=768, d_in=384, rank_out=768, rank_in=384)
    publish(client, "team/full", made(11, [full]))


def test_only_writers_of_the_namespace_may_import(service: Service) -> None:
    basis = made(12)
    with service.client("team", "read") as reader, service.client("rivals", "admin") as rival:
        for client in (reader, rival):
            for answer in (
                begin(client, "team/mine", basis),
                send_file(client, "team/mine", basis, "up.safetensors"),
            ):
                assert answer.json()["type"] == Forbidden.type_uri()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[httpx.Client]:
    """A server that takes little."""
    with (
        running(tmp_path / "data", max_basis_bytes=2000, max_imports=2) as service,
        service.client() as client,
    ):
        yield client


def test_a_basis_over_the_limit_is_refused_before_any_file_is_sent(small: httpx.Client) -> None:
    answer = begin(small, "team/large", made(13, [Shape(d_out=40, rank_out=40)]))
    assert answer.json()["type"] == BodyTooLarge.type_uri()
    assert "at most 2000 bytes" in answer.json()["detail"]


def test_no_more_imports_are_under_way_than_may_be(small: httpx.Client) -> None:
    for seed in range(2):
        assert begin(small, "team/many", made(seed)).status_code == 200
    refused = begin(small, "team/many", made(2))
    assert refused.json()["type"] == Conflict.type_uri()
    assert begin(small, "team/many", made(1)).status_code == 200  # this one is one of them
    publish(small, "team/many", made(0))
    assert begin(small, "team/many", made(2)).status_code == 200
    assert begin(small, "team/many", made(3)).status_code == 409
    assert small.delete(f"/v1/bases/team/many/imports/{made(1).digest}").status_code == 204
    assert begin(small, "team/many", made(3)).status_code == 200


def test_a_manifest_keeps_its_identity_on_its_way(client: httpx.Client) -> None:
    basis = made(14, TWO, model='quotes " and <tags> | é\n', dataset="日本")
    publish(client, "team/text", basis)
    content = client.get("/v1/bases/team/text/versions/1/files/manifest.json").content
    assert BasisManifest.from_canonical_bytes(content, basis.digest) == basis.manifest
