"""Bases in object storage: the contract, and the copies that are kept of their files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.basis_stores import BasisStoreContract, Damage, published, written

from sparsegrad_server.store.cache import FileCache
from sparsegrad_server.store.object_bases import ObjectBasisStore
from sparsegrad_server.store.objects import Objects
from sparsegrad_shared.bases import MANIFEST_FILE, REPORT_FILE
from sparsegrad_shared.errors import CorruptFile

LIMIT = 1 << 20


def store_over(objects: Objects, folder: Path) -> ObjectBasisStore:
    return ObjectBasisStore(objects, FileCache(folder / "cache", LIMIT), folder / "drafts")


@pytest.fixture
def store(objects: Objects, tmp_path: Path) -> ObjectBasisStore:
    return store_over(objects, tmp_path)


class TestContract(BasisStoreContract):
    @pytest.fixture
    def store(self, objects: Objects, tmp_path: Path) -> ObjectBasisStore:
        return store_over(objects, tmp_path)

    @pytest.fixture
    def damage(self, objects: Objects) -> Damage:
        def damage(digest: str, name: str, content: bytes | None) -> None:
            key = f"{digest.removeprefix('sha256:')}/{name}"
            objects.delete([key]) if content is None else objects.write(key, content)

        return damage


def test_a_draft_that_was_not_published_leaves_nothing(
    store: ObjectBasisStore, objects: Objects, tmp_path: Path
) -> None:
    with store.draft("cal") as draft:
        written(draft)
    assert list(objects.entries()) == []
    assert [path for path in (tmp_path / "drafts").rglob("*") if path.is_file()] == []


def test_a_basis_is_found_from_another_machine(
    store: ObjectBasisStore, objects: Objects, tmp_path: Path
) -> None:
    digest = published(store)
    other = store_over(objects, tmp_path / "other")
    assert list(other.digests()) == [digest]
    assert other.file(digest, REPORT_FILE).read_bytes() == b"{}"


def test_damaged_bytes_are_not_handed_out(store: ObjectBasisStore, objects: Objects) -> None:
    digest = published(store)
    objects.write(f"{digest.removeprefix('sha256:')}/{REPORT_FILE}", b"{}?")
    with pytest.raises(CorruptFile, match=REPORT_FILE):
        store.file(digest, REPORT_FILE)


def test_a_file_is_fetched_once(store: ObjectBasisStore, objects: Objects) -> None:
    digest = published(store)
    before = store.file(digest, REPORT_FILE).stat().st_ino
    objects.delete_folder(digest.removeprefix("sha256:"))
    assert store.file(digest, REPORT_FILE).stat().st_ino == before


def test_a_basis_of_which_an_object_is_lost_is_not_held(
    store: ObjectBasisStore, objects: Objects
) -> None:
    digest = published(store)
    store.file(digest, REPORT_FILE)  # a copy that stays here
    objects.delete([f"{digest.removeprefix('sha256:')}/{REPORT_FILE}"])
    assert not store.holds(digest)
    assert published(store) == digest
    assert store.holds(digest)


def test_a_publication_or_removal_that_was_cut_short_is_not_there_and_can_be_discarded(
    store: ObjectBasisStore, objects: Objects
) -> None:
    digest = published(store)
    folder = digest.removeprefix("sha256:")
    objects.delete([f"{folder}/{MANIFEST_FILE}"])
    assert list(store.digests()) == []
    (aside,) = store.set_aside()
    assert (aside.name, aside.damaged, aside.footprint.bytes) == (folder, False, 2)
    store.discard(aside.name)
    assert list(objects.entries()) == []
    assert published(store) == digest
    store.verify(digest)
