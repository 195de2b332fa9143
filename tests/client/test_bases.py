"""Bases fetched through the cache, against a real server over HTTP."""

from __future__ import annotations

import asyncio
import gc
import uuid
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from support import tiny_models
from support.servers import RunningServer

from sparsegrad_client import AsyncBasisService, Basis, BasisService, calibrate, fetch_basis
from sparsegrad_shared.errors import (
    CorruptFile,
    InvalidReference,
    PreconditionFailed,
    ServerUnreachable,
    UnknownBasis,
)

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def published(
    team_server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Basis]:
    """A basis on the server, calibrated by a client with a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEGRAD_HOME", str(tmp_path_factory.mktemp("publisher")))
        yield _calibrated(team_server, seed=0)


def _calibrated(server: RunningServer, *, seed: int) -> Basis:
    torch.manual_seed(seed)
    return calibrate(
        tiny_models.bert(),
        [tiny_models.classification_batch(seed)],
        f"team/{uuid.uuid4().hex}",
        server=server.url,
        token=server.token,
        steps=2,
        held_out=1,
    )


def _folder(home: Path, basis: Basis) -> Path:
    return home / "bases" / basis.digest.removeprefix("sha256:")


def _same(a: Basis, b: Basis) -> bool:
    return a.digest == b.digest and all(
        torch.equal(a.groups[name].U, b.groups[name].U)
        and torch.equal(a.groups[name].V, b.groups[name].V)
        for name in a.groups
    )


def test_a_basis_is_fetched_by_name_version_alias_and_digest(
    team_server: RunningServer, published: Basis, client_home: Path
) -> None:
    reference = str(published.reference)
    name = reference.partition("@")[0]
    with BasisService(team_server.url, team_server.token) as service:
        service.set_alias(name, "prod", 1, expected=None)
    for form in (name, reference, f"{name}:prod", published.digest):
        fetched = fetch_basis(form, team_server.url, team_server.token)
        assert _same(fetched, published)
        assert fetched.model == published.model
    assert sorted(path.name for path in _folder(client_home, published).iterdir()) == [
        "intermediate.safetensors",
        "manifest.json",
        "output.safetensors",
        "report.json",
    ]
    assert not list((client_home / "bases").glob(".incoming-*"))


def test_a_basis_in_use_is_in_memory_once_and_freed_with_its_last_user(
    team_server: RunningServer, client_home: Path
) -> None:
    def fetched(reference: str) -> Basis:
        return fetch_basis(reference, team_server.url, team_server.token)

    calibrated = _calibrated(team_server, seed=1)
    bases = [calibrated, fetched(str(calibrated.reference)), fetched(calibrated.digest)]
    assert [basis.reference for basis in bases[1:]] == [str(calibrated.reference), None]
    groups = [dict(basis.groups) for basis in bases]
    assert all(groups[0][name] is other[name] for other in groups[1:] for name in groups[0])
    held = weakref.ref(next(iter(groups[0].values())))
    del calibrated, bases, groups
    gc.collect()
    assert held() is None


def test_what_never_changes_needs_no_server_once_it_is_cached(
    team_server: RunningServer,
    published: Basis,
    client_home: Path,
    tmp_path: Path,
) -> None:
    with RunningServer(tmp_path / "data") as server:
        torch.manual_seed(0)
        basis = calibrate(
            tiny_models.bert(),
            [tiny_models.classification_batch(0)],
            "team/short-lived",
            server=server.url,
            token=server.token,
            steps=2,
            held_out=0,
        )
        url = server.url
    assert _same(fetch_basis(basis.digest, NOWHERE), basis)
    with pytest.warns(UserWarning, match="team/short-lived@1 comes from the cache"):
        assert _same(fetch_basis("team/short-lived@1", url), basis)
    for moving in ("team/short-lived", "team/short-lived:prod"):
        with pytest.raises(ServerUnreachable):
            fetch_basis(moving, url)
    with pytest.raises(ServerUnreachable):
        fetch_basis("team/short-lived@1", NOWHERE)  # another server's version 1
    (_folder(client_home, basis) / "output.safetensors").write_bytes(b"")
    with pytest.raises(CorruptFile, match=r"output\.safetensors.*fetched again, but"):
        fetch_basis("team/short-lived@1", url)


@pytest.mark.parametrize("file", ["output.safetensors", "report.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "removed"])
def test_a_damaged_file_is_named_and_fetched_again(
    team_server: RunningServer, published: Basis, client_home: Path, file: str, damage: str
) -> None:
    fetch_basis(published.digest, team_server.url, team_server.token)
    path = _folder(client_home, published) / file
    whole = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] + (b"" if damage == "cut" else bytes([whole[-1] ^ 1])))
    with pytest.raises(CorruptFile, match=rf"{file}.*sparsegrad-server serve"):
        fetch_basis(published.digest, NOWHERE)
    with pytest.warns(UserWarning, match=file):
        fetched = fetch_basis(published.digest, team_server.url, team_server.token)
    assert _same(fetched, published)
    assert path.read_bytes() == whole
    assert _same(fetch_basis(published.digest, NOWHERE), published)


@pytest.mark.usefixtures("client_home")
def test_many_may_fetch_the_same_basis_at_once(
    team_server: RunningServer, published: Basis
) -> None:
    def fetch(_: int) -> Basis:
        return fetch_basis(published.digest, team_server.url, team_server.token)

    with ThreadPoolExecutor(4) as pool:
        assert all(_same(basis, published) for basis in pool.map(fetch, range(4)))


@pytest.mark.usefixtures("client_home")
def test_a_basis_that_is_not_there_and_a_reference_that_is_none(
    team_server: RunningServer, published: Basis
) -> None:
    name = str(published.reference).partition("@")[0]
    with pytest.raises(UnknownBasis):
        fetch_basis(f"{name}@7", team_server.url, team_server.token)
    with pytest.raises(InvalidReference):
        fetch_basis("../etc/passwd", team_server.url, team_server.token)


@pytest.mark.usefixtures("client_home")
def test_the_service_finds_compares_and_names_bases(
    team_server: RunningServer, published: Basis
) -> None:
    name = str(published.reference).partition("@")[0]
    with BasisService(team_server.url, team_server.token) as service:
        (found,) = service.find_bases(name=name).bases
        assert found == service.version(name, 1) == service.resolve(published.digest)
        difference = service.diff(published.digest, published.digest)
        assert max(max(g.angles_in) for g in difference.groups) < 1e-3
        assert service.set_alias(name, "candidate", 1, expected=None).version == 1
        with pytest.raises(PreconditionFailed):
            service.set_alias(name, "candidate", 1, expected=None)
        assert service.set_alias(name, "candidate", 1, expected=1).version == 1
        assert service.alias(name, "candidate").alias == "candidate"

    async def find() -> None:
        async with AsyncBasisService(team_server.url, team_server.token) as service:
            assert (await service.resolve(f"{name}:candidate")).digest == found.digest
            job = (await service.finish(found.calibration)).id
            assert [s.state async for s in service.watch_job(job)][-1] == "done"

    asyncio.run(find())
