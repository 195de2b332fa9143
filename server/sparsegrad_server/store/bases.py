"""Where bases are kept: the contract that every backend passes.

A basis is drafted file by file, then published whole under its digest. It is there with all its
files or not at all, and is never changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sparsegrad_shared.bases import MANIFEST_FILE, BasisManifest, FileEntry
from sparsegrad_shared.errors import CorruptFile

from .footprint import Footprint


@dataclass(frozen=True)
class SetAside:
    """Something that is no basis any more.

    Attributes:
        name: what `discard` knows it by.
        damaged: whether it was set aside for people to look into; else its removal was cut short.
        footprint: what it takes up.
    """

    name: str
    damaged: bool
    footprint: Footprint


class BasisDraft(Protocol):
    """A basis in the making, which nobody sees."""

    def add(self, name: str, pieces: Iterable[bytes | memoryview]) -> FileEntry:
        """Write a file; it is on disk when this returns.

        Raises:
            OSError: when it cannot be written.
        """

    def publish(self, manifest: BasisManifest) -> None:
        """Put the draft in its place under the manifest's digest; on disk when this returns.

        What is there already stays, if it is sound; a damaged one is replaced.

        Raises:
            OSError: when it cannot be written.
        """


class BasisStore(ABC):
    """Bases by digest. Which ones have a name is in the catalog."""

    @abstractmethod
    def draft(self, key: str) -> AbstractContextManager[BasisDraft]:
        """Begin a basis; what was not published when the context ends is removed.

        One draft of a key lives at a time: what an earlier one left behind goes.
        """

    @abstractmethod
    def file(self, digest: str, name: str) -> Path:
        """A file of a published basis; `name` is `manifest.json` or one that it lists.

        Raises:
            CorruptFile: when it is not there.
        """

    @abstractmethod
    def verify(self, digest: str) -> BasisManifest:
        """Hold a published basis, with all its files, to its digests.

        Raises:
            CorruptFile: when a file is missing or its bytes are others; names it.
        """

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """The published bases, in no order."""

    @abstractmethod
    def delete(self, digest: str) -> None:
        """Remove a published basis, if it is there; a kill half-way leaves it not published."""

    @abstractmethod
    def footprint(self, digest: str) -> Footprint:
        """What a published basis takes up here."""

    @abstractmethod
    def set_aside(self) -> Iterator[SetAside]:
        """What is no basis any more: damaged ones, and those whose removal was cut short."""

    @abstractmethod
    def discard(self, name: str) -> None:
        """Remove something that was set aside, if it is there."""

    def holds(self, digest: str) -> bool:
        """Whether a published basis is there; its bytes are not looked at."""
        try:
            self.file(digest, MANIFEST_FILE)
        except CorruptFile:
            return False
        return True
