"""Bases in a local folder: the contract, and what lies on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.basis_stores import BasisStoreContract, Damage, published, written

from sparsegrad_server.store.local_bases import LocalBasisStore
from sparsegrad_shared.bases import REPORT_FILE


@pytest.fixture
def store(tmp_path: Path) -> LocalBasisStore:
    return LocalBasisStore(tmp_path / "bases", tmp_path / "drafts")


class TestContract(BasisStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalBasisStore:
        return LocalBasisStore(tmp_path / "bases", tmp_path / "drafts")

    @pytest.fixture
    def damage(self, store: LocalBasisStore) -> Damage:
        def damage(digest: str, name: str, content: bytes | None) -> None:
            path = store.folder(digest) / name
            path.unlink() if content is None else path.write_bytes(content)

        return damage


def test_a_draft_that_was_not_published_leaves_nothing(
    store: LocalBasisStore, tmp_path: Path
) -> None:
    with store.draft("cal") as draft:
        written(draft)
    assert list((tmp_path / "bases").iterdir()) == []
    assert [path for path in (tmp_path / "drafts").rglob("*") if path.is_file()] == []


def test_what_a_dead_draft_left_behind_goes_with_the_next_one(
    store: LocalBasisStore, tmp_path: Path
) -> None:
    left = tmp_path / "drafts" / "cal" / "draft" / "dead"
    left.mkdir(parents=True)
    (left / REPORT_FILE).write_bytes(b"half")
    published(store)
    assert not left.exists()


def test_what_was_set_aside_is_listed_and_discarded(store: LocalBasisStore, tmp_path: Path) -> None:
    digest = published(store)
    store.file(digest, REPORT_FILE).write_bytes(b"[]")
    assert published(store) == digest  # the damaged one is set aside, a sound one takes its place
    half_removed = tmp_path / "bases" / f"{'0' * 64}.0.deleted"
    half_removed.mkdir()
    aside = {found.damaged: found for found in store.set_aside()}
    assert aside.keys() == {True, False}
    assert aside[True].footprint.bytes > 0
    for found in aside.values():
        store.discard(found.name)
        store.discard(found.name)
    assert list(store.set_aside()) == []
    store.verify(digest)
