"""The contract of a store of bases: whole or not there, and for ever the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsegrad_server.store.bases import BasisDraft, BasisStore
from sparsegrad_server.store.local_bases import LocalBasisStore
from sparsegrad_shared.bases import MANIFEST_FILE, REPORT_FILE, BasisManifest
from sparsegrad_shared.calibrations import DatasetSource, HosvdOptions, ModelSource
from sparsegrad_shared.errors import CorruptFile


@pytest.fixture
def store(tmp_path: Path) -> LocalBasisStore:
    return LocalBasisStore(tmp_path / "bases", tmp_path / "drafts")


def written(draft: BasisDraft, report: bytes = b"{}") -> BasisManifest:
    return BasisManifest(
        model=ModelSource(id="tiny", architecture="TinyModel"),
        dataset=DatasetSource(id="data", fingerprint="1"),
        options=HosvdOptions(),
        groups=(),
        report=draft.add(REPORT_FILE, [report]),
    )


def published(store: BasisStore, report: bytes = b"{}") -> str:
    with store.draft("cal") as draft:
        manifest = written(draft, report)
        draft.publish(manifest)
    return manifest.digest()


def test_a_published_basis_is_there_under_its_digest(store: LocalBasisStore) -> None:
    digest = published(store)
    manifest = store.verify(digest)
    assert manifest.digest() == digest
    assert store.file(digest, MANIFEST_FILE).read_bytes() == manifest.canonical_bytes()
    assert store.file(digest, REPORT_FILE).read_bytes() == b"{}"


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


def test_the_same_content_again_changes_nothing(store: LocalBasisStore) -> None:
    digest = published(store)
    before = store.file(digest, REPORT_FILE).stat()
    assert published(store) == digest
    after = store.file(digest, REPORT_FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert published(store, b"[]") != digest


@pytest.mark.parametrize("name", [MANIFEST_FILE, REPORT_FILE])
@pytest.mark.parametrize("gone", [False, True])
def test_damage_is_found_by_name_and_mended_by_the_same_content(
    store: LocalBasisStore, name: str, gone: bool
) -> None:
    digest = published(store)
    path = store.file(digest, name)
    if gone:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CorruptFile, match=name):
        store.verify(digest)
    assert published(store) == digest
    store.verify(digest)


def test_a_basis_that_is_not_there_is_corrupt_not_empty(store: LocalBasisStore) -> None:
    with pytest.raises(CorruptFile, match="missing"):
        store.file(f"sha256:{64 * '0'}", MANIFEST_FILE)


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
    assert store.footprint(digest).bytes == sum(
        path.stat().st_size for path in store.folder(digest).iterdir()
    )


def test_a_basis_that_was_deleted_is_not_there(store: LocalBasisStore) -> None:
    digest = published(store)
    assert store.holds(digest)
    store.delete(digest)
    assert not store.holds(digest)
    assert list(store.digests()) == []
    assert list(store.set_aside()) == []
