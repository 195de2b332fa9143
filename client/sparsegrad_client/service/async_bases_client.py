"""What the asynchronous client asks of bases: `bases_client` method by method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar, Unpack

from sparsegrad_shared.aliases import AliasList, AliasStatus
from sparsegrad_shared.bases import (
    BasisDifference,
    BasisList,
    BasisManifest,
    BasisVersion,
    FileEntry,
    ImportStatus,
    PublishedVersion,
    VersionMarks,
)
from sparsegrad_shared.search import BasisQuery

from . import basis_calls
from .calls import Call, OnBytes, Pieces, nobody
from .queries import BasisFilters, following, query_of

T = TypeVar("T")


class AsyncBasisMethods(ABC):
    """The methods of `AsyncBasisService` that concern bases, versions and aliases."""

    @abstractmethod
    async def _run(self, call: Call[T]) -> T:
        """Send a call, again where that is right; its value."""

    async def find_bases(self, **filters: Unpack[BasisFilters]) -> BasisList:
        """The first page of a search for bases; `search` goes through all pages."""
        return await self._run(basis_calls.find_bases(query_of(BasisQuery, filters)))

    async def search(self, **filters: Unpack[BasisFilters]) -> AsyncIterator[BasisVersion]:
        """Search the published bases; newest first, fetched page by page (see `BasisFilters`).

        Raises:
            InvalidInput: when a filter cannot be used.
        """
        query: BasisQuery | None = query_of(BasisQuery, filters)
        while query is not None:
            page = await self._run(basis_calls.find_bases(query))
            for basis in page.bases:
                yield basis
            query = following(query, page.next)

    async def resolve(self, reference: str) -> BasisVersion:
        """The basis that a reference means: name, name@version, name:alias or digest."""
        return await self._run(basis_calls.resolve(reference))

    async def version(self, name: str, number: int) -> BasisVersion:
        """A version of a name."""
        return await self._run(basis_calls.version(name, number))

    async def download_file(
        self,
        published: PublishedVersion,
        file: FileEntry,
        path: Path,
        *,
        on_bytes: OnBytes = nobody,
    ) -> None:
        """Write a basis's file to `path`; it is whole and on disk when this returns.

        Args:
            published: the version.
            file: which file of it.
            path: where to.
            on_bytes: told how many of the file's bytes have come; anew when it is sent again.

        Raises:
            CorruptFile: when the bytes that came are not those of the file's digest.
        """
        await self._run(basis_calls.download_file(published, file, path, on_bytes))

    async def delete_version(self, name: str, number: int) -> None:
        """Delete a version; its number is never given out again.

        Raises:
            VersionInUse: when an alias or a pin holds it.
        """
        await self._run(basis_calls.delete_version(name, number))

    async def tag(self, name: str, number: int, word: str) -> VersionMarks:
        """Put a tag on a version."""
        return await self._run(basis_calls.tag(name, number, word, present=True))

    async def untag(self, name: str, number: int, word: str) -> VersionMarks:
        """Take a tag off a version."""
        return await self._run(basis_calls.tag(name, number, word, present=False))

    async def pin(self, name: str, number: int) -> VersionMarks:
        """Have a version not be deleted."""
        return await self._run(basis_calls.pin(name, number, pinned=True))

    async def unpin(self, name: str, number: int) -> VersionMarks:
        """Lift a pin."""
        return await self._run(basis_calls.pin(name, number, pinned=False))

    async def aliases(self, name: str) -> AliasList:
        """The aliases of a name."""
        return await self._run(basis_calls.aliases(name))

    async def alias(self, name: str, alias: str) -> AliasStatus:
        """What an alias names, and has named."""
        return await self._run(basis_calls.alias(name, alias))

    async def set_alias(
        self, name: str, alias: str, version: int, *, expected: int | None
    ) -> AliasStatus:
        """Let an alias name a version.

        Args:
            name: the name that the alias belongs to.
            alias: the alias.
            version: what it shall name.
            expected: what it names at present; None when there is no such alias yet.

        Raises:
            PreconditionFailed: when it names something else than `expected`.
            Forbidden: when it is protected and the token no admin's.
        """
        return await self._run(basis_calls.set_alias(name, alias, version, expected=expected))

    async def delete_alias(self, name: str, alias: str, *, expected: int) -> None:
        """Delete an alias that names `expected`; its history is kept.

        Raises:
            PreconditionFailed: when it names something else.
            Forbidden: when it is protected and the token no admin's.
        """
        await self._run(basis_calls.delete_alias(name, alias, expected=expected))

    async def protect_alias(self, name: str, alias: str) -> AliasStatus:
        """Have an alias moved and deleted by admins' tokens alone; needs one."""
        return await self._run(basis_calls.protect_alias(name, alias, protected=True))

    async def unprotect_alias(self, name: str, alias: str) -> AliasStatus:
        """Lift an alias's protection; needs an admin's token."""
        return await self._run(basis_calls.protect_alias(name, alias, protected=False))

    async def diff(self, a: str, b: str) -> BasisDifference:
        """Principal angles between two bases, given by digest."""
        return await self._run(basis_calls.diff(a, b))

    async def import_basis(self, name: str, manifest: BasisManifest) -> ImportStatus:
        """Announce a basis from elsewhere; it is published once no file of it is missing.

        Raises:
            InvalidInput: when the manifest is not one of a basis.
        """
        return await self._run(basis_calls.import_basis(name, manifest))

    async def import_file(self, name: str, digest: str, file: FileEntry, content: Pieces) -> None:
        """Send a file of an import; it is looked into and on the server's disk when this returns.

        Raises:
            InvalidInput: when it is not what the manifest says.
        """
        await self._run(basis_calls.import_file(name, digest, file, content))

    async def give_up_import(self, name: str, digest: str) -> None:
        """Forget an import that was not published, with the files that came."""
        await self._run(basis_calls.give_up_import(name, digest))
