"""Comparisons of bases that somebody waits for: one is worked out at a time."""

from __future__ import annotations

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from sparsegrad_shared.bases import BasisDifference, BasisManifest
from sparsegrad_shared.errors import Overloaded
from sparsegrad_shared.references import BasisReference

from ..catalog import Catalog, bases
from ..store.bases import BasisStore
from .difference import difference

WAITING = 8  # comparisons that may wait for the one that is worked out


class Comparisons:
    """Works out how far two bases lie apart, off the event loop.

    Args:
        catalog: where the bases' names are.
        store: where their files are.
    """

    def __init__(self, catalog: Catalog, store: BasisStore) -> None:
        self._catalog = catalog
        self._store = store
        self._limiter = CapacityLimiter(1)

    async def compare(
        self, a: BasisReference, b: BasisReference, namespace: str
    ) -> BasisDifference:
        """Principal angles between the leading subspaces of two bases that the caller may see.

        Raises:
            Overloaded: when others wait already.
            UnknownBasis: when there is none of these that the caller may see.
            InvalidInput: when the bases have no group in common.
            ShapeMismatch: when a group has two shapes.
        """
        if self._limiter.statistics().tasks_waiting >= WAITING:
            raise Overloaded("bases are being compared, and others wait; come again", retry_after=2)
        manifests = await run_sync(self._manifests, (a, b), namespace)
        return await run_sync(difference, self._store, *manifests, limiter=self._limiter)

    def _manifests(
        self, references: tuple[BasisReference, BasisReference], namespace: str
    ) -> tuple[BasisManifest, BasisManifest]:
        with self._catalog.reading() as session:
            a, b = (bases.resolve(session, each, namespace).digest for each in references)
            found = bases.manifests_of(session, {a, b})
        return found[a], found[b]
