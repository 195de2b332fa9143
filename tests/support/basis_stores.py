"""The contract of a store of bases, as tests that every backend passes: whole or not there.

A backend's test module subclasses `BasisStoreContract`, gives it a `store` fixture, and says how
its files are damaged.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sparsegrad_server.store.bases import BasisDraft, BasisStore
from sparsegrad_shared.bases import MANIFEST_FILE, REPORT_FILE, BasisManifest
from sparsegrad_shared.calibrations import DatasetSource, HosvdOptions, ModelSource
from sparsegrad_shared.errors import CorruptFile

# Replaces the bytes of a published file, where they are kept; with None, removes it.
Damage = Callable[[str, str, bytes | None], None]
ABSENT = f"sha256:{64 * '0'}"


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


class BasisStoreContract:
    """What every backend does."""

    @pytest.fixture
    def store(self) -> BasisStore:
        """The backend under test."""
        raise NotImplementedError

    @pytest.fixture
    def damage(self) -> Damage:
        """Changes what the backend keeps, behind its back."""
        raise NotImplementedError

    def test_a_published_basis_is_there_under_its_digest(self, store: BasisStore) -> None:
        digest = published(store)
        manifest = store.verify(digest)
        assert manifest.digest() == digest
        assert store.holds(digest)
        assert store.file(digest, MANIFEST_FILE).read_bytes() == manifest.canonical_bytes()
        assert store.file(digest, REPORT_FILE).read_bytes() == b"{}"

    def test_a_draft_that_was_not_published_is_not_there(self, store: BasisStore) -> None:
        with store.draft("cal") as draft:
            manifest = written(draft)
        assert list(store.digests()) == []
        assert list(store.set_aside()) == []
        assert not store.holds(manifest.digest())
        with pytest.raises(CorruptFile, match="missing"):
            store.verify(manifest.digest())

    def test_the_same_content_again_changes_nothing(self, store: BasisStore) -> None:
        digest = published(store)
        before = store.footprint(digest)
        assert published(store) == digest
        assert store.footprint(digest) == before
        assert published(store, b"[]") != digest

    @pytest.mark.parametrize("name", [MANIFEST_FILE, REPORT_FILE])
    @pytest.mark.parametrize("content", [None, b"", b"{} "])
    def test_damage_is_found_by_name_and_mended_by_the_same_content(
        self, store: BasisStore, damage: Damage, name: str, content: bytes | None
    ) -> None:
        digest = published(store)
        damage(digest, name, content)
        with pytest.raises(CorruptFile, match=name):
            store.verify(digest)
        assert not (name == MANIFEST_FILE and content is None and store.holds(digest))
        assert published(store) == digest
        store.verify(digest)
        assert store.file(digest, REPORT_FILE).read_bytes() == b"{}"

    def test_a_basis_that_is_not_there_is_corrupt_not_empty(self, store: BasisStore) -> None:
        for name in (MANIFEST_FILE, REPORT_FILE):
            with pytest.raises(CorruptFile, match="missing"):
                store.file(ABSENT, name)
        assert not store.holds(ABSENT)

    def test_the_published_are_listed(self, store: BasisStore) -> None:
        digests = {published(store, b"{}"), published(store, b"[]")}
        assert set(store.digests()) == digests

    def test_what_is_deleted_is_gone_and_nothing_else(self, store: BasisStore) -> None:
        gone, kept = published(store, b"{}"), published(store, b"[]")
        store.file(gone, REPORT_FILE)
        store.delete(gone)
        store.delete(gone)
        assert list(store.digests()) == [kept]
        assert list(store.set_aside()) == []
        assert not store.holds(gone)
        for name in (MANIFEST_FILE, REPORT_FILE):
            with pytest.raises(CorruptFile):
                store.file(gone, name)
        store.verify(kept)
        assert published(store, b"{}") == gone
        store.verify(gone)

    def test_a_footprint_counts_all_files(self, store: BasisStore) -> None:
        digest = published(store, b"12345")
        manifest = store.verify(digest)
        assert store.footprint(digest).bytes == 5 + len(manifest.canonical_bytes())
