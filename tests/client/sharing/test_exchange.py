"""Bases between two real servers and the files of a machine."""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from support.bases import MadeBasis, begin, made, publish, send_file
from support.servers import RunningServer

from sparsegrad_client import AsyncBasisService, BasisService, fetch_basis
from sparsegrad_client.home import bases_folder
from sparsegrad_client.sharing.exchange import export_file, export_folder, import_basis
from sparsegrad_client.sharing.files import open_files
from sparsegrad_shared.errors import CorruptFile, InvalidInput, InvalidTensor, UnknownBasis


@pytest.fixture
def http(team_server: RunningServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {team_server.token}"}
    with httpx.Client(base_url=team_server.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def service(team_server: RunningServer) -> Iterator[BasisService]:
    with BasisService(team_server.url, team_server.token) as service:
        yield service


@pytest.fixture
def reference(http: httpx.Client, basis: MadeBasis, client_home: Path) -> str:
    """The basis on the team's server."""
    return str(publish(http, "team/exchanged", basis))


def test_files_and_folders_are_read_back_without_any_server(
    team_server: RunningServer, reference: str, basis: MadeBasis, tmp_path: Path
) -> None:
    place = team_server.url, team_server.token
    export_file(reference, tmp_path / "basis.tar", *place)
    export_folder(reference, tmp_path / "folder", *place)
    for path in (tmp_path / "basis.tar", tmp_path / "folder"):
        shutil.rmtree(bases_folder())
        read = fetch_basis(path, "http://127.0.0.1:9")  # where nothing answers
        assert (read.digest, read.reference) == (basis.digest, None)
        assert list(read.groups) == [group.name for group in basis.manifest.groups]
        U = read.groups["up"].U
        assert torch.allclose(U.T @ U, torch.eye(4), atol=1e-5)
        assert fetch_basis(basis.digest, "http://127.0.0.1:9").digest == basis.digest


def test_a_folder_is_replaced_by_a_newer_export_but_nothing_else_is(
    team_server: RunningServer, reference: str, tmp_path: Path
) -> None:
    place = team_server.url, team_server.token
    for _ in range(2):
        export_folder(reference, tmp_path / "folder", *place)
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"notes\.txt"):
        export_folder(reference, tmp_path / "folder", *place)
    assert (tmp_path / "folder" / "notes.txt").read_text() == "mine"


def test_the_cards_python_runs_in_the_folder(
    team_server: RunningServer,
    reference: str,
    basis: MadeBasis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export_folder(reference, tmp_path / "folder", team_server.url, team_server.token)
    card = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    read, train = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "folder")
    names: dict[str, object] = {}
    exec(read, names)  # noqa: S102 - what the card tells people to do
    assert getattr(names["basis"], "digest", None) == basis.digest
    compile(train, "card", "exec")


def test_a_damaged_cached_basis_is_replaced_by_the_whole_one(
    files_folder: Path, client_home: Path
) -> None:
    first = fetch_basis(files_folder)
    cached = bases_folder() / first.digest.removeprefix("sha256:")
    (cached / "up.safetensors").write_bytes(b"damaged")
    assert fetch_basis(files_folder).digest == first.digest
    assert (cached / "up.safetensors").read_bytes() != b"damaged"
    assert [path.name for path in bases_folder().iterdir()] == [cached.name]


@pytest.fixture
def files_folder(basis: MadeBasis, tmp_path: Path) -> Path:
    return basis.write(tmp_path / "files")


def test_an_import_sends_only_what_the_server_lacks(
    http: httpx.Client, team_server: RunningServer, tmp_path: Path
) -> None:
    basis = made(31)
    folder = basis.write(tmp_path / "basis")
    begin(http, "team/resumed", basis)
    send_file(http, "team/resumed", basis, "up.safetensors")
    sent: list[tuple[str, int, int]] = []

    def note(phase: str, completed: int, total: int) -> None:
        sent.append((phase, completed, total))

    place = team_server.url, team_server.token
    assert str(import_basis(folder, "team/resumed", *place, note)) == "team/resumed@1"
    lacked = (folder / "report.json").stat().st_size
    assert sent[-1] == ("sending the basis", lacked, lacked)
    sent.clear()
    assert str(import_basis(folder, "team/again", *place, note)) == "team/again@1"
    assert str(import_basis(folder, "team/resumed", *place, note)) == "team/resumed@1"
    assert sent == []


def test_a_damaged_file_is_named_before_it_is_sent(
    service: BasisService, team_server: RunningServer, tmp_path: Path
) -> None:
    folder = made(32).write(tmp_path / "basis")
    content = bytearray((folder / "up.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "up.safetensors").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"basis/up\.safetensors: .*expected sha256:"):
        import_basis(folder, "team/damaged", team_server.url, team_server.token)
    with pytest.raises(UnknownBasis):
        service.resolve("team/damaged")


def test_an_import_that_is_refused_is_given_up(
    service: BasisService, team_server: RunningServer, tmp_path: Path
) -> None:
    basis = made(33, tensors={"U": torch.ones(8, 4).numpy()})
    with pytest.raises(InvalidTensor, match="not orthonormal"):
        import_basis(basis.write(tmp_path / "bad"), "team/bad", team_server.url, team_server.token)
    missing = service.import_basis("team/bad", basis.manifest).missing
    assert [entry.name for entry in missing] == list(basis.files)
    service.give_up_import("team/bad", basis.digest)


def test_both_clients_have_the_same_methods() -> None:
    def methods(cls: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_")
        }

    synchronous = methods(BasisService)
    synchronous.pop("stop_waiting")  # of threads, which the other has none of
    assert synchronous == methods(AsyncBasisService)


def test_the_async_client_does_all_of_it(team_server: RunningServer, tmp_path: Path) -> None:
    basis = made(34)
    files = open_files(basis.write(tmp_path / "basis"))

    async def share() -> None:
        async with AsyncBasisService(team_server.url, team_server.token) as service:
            status = await service.import_basis("team/async", basis.manifest)
            for entry in status.missing:
                await service.import_file("team/async", basis.digest, entry, files.verified(entry))
            assert (await service.import_basis("team/async", basis.manifest)).version is not None
            assert (await service.tag("team/async", 1, "word")).tags == ("word",)
            found = [str(version) async for version in service.search(tag=["word"], limit=1)]
            assert found == ["team/async@1"]
            assert (await service.untag("team/async", 1, "word")).tags == ()
            assert (await service.pin("team/async", 1)).pinned
            assert not (await service.unpin("team/async", 1)).pinned
            await service.set_alias("team/async", "prod", 1, expected=None)
            assert (await service.protect_alias("team/async", "prod")).protected
            assert not (await service.unprotect_alias("team/async", "prod")).protected
            assert len((await service.aliases("team/async")).aliases) == 1
            await service.delete_alias("team/async", "prod", expected=1)
            await service.delete_version("team/async", 1)
            with pytest.raises(UnknownBasis, match="was deleted on"):
                await service.version("team/async", 1)
            await service.give_up_import("team/async", basis.digest)
            assert [one async for one in service.calibrations(name="team/async")] == []

    asyncio.run(share())


def test_a_search_goes_through_all_pages(service: BasisService, http: httpx.Client) -> None:
    for seed in range(40, 45):
        publish(http, "team/pages", made(seed))
    found = [version.version for version in service.search(name="team/pages", limit=2)]
    assert found == [5, 4, 3, 2, 1]
    with pytest.raises(InvalidInput, match=r"shape.*'large'"):
        list(service.search(shape=["large"]))
