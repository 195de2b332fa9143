"""What the libraries of the server throw, in words for the person at the terminal."""

from __future__ import annotations

import sys

from sparsegrad_shared.errors import SparseGradError, Unavailable

_PACKAGE = __package__.partition(".")[0]


def explained(error: BaseException) -> SparseGradError | None:
    """An error of the catalog's database or of object storage; None for any other.

    What a client of the service is told of the same failure (`catalog.failures`) says less: where
    the catalog is and what is wrong with it is no business of a client's.
    """
    if "sqlalchemy" in sys.modules and (said := _of_catalog(error)):
        return Unavailable(
            f"the catalog cannot be used: {' '.join(said.split())}; look at the folder of --data, "
            "or at the database of SPARSEGRAD_CATALOG_URL"
        )
    if f"{_PACKAGE}.store.objects" in sys.modules and (said := _of_storage(error)):
        return Unavailable(f"{' '.join(said.split())}; look at SPARSEGRAD_STORAGE_URL")
    return None


def _of_catalog(error: BaseException) -> str | None:
    from sqlalchemy.exc import DBAPIError

    return str(error.orig) if isinstance(error, DBAPIError) else None


def _of_storage(error: BaseException) -> str | None:
    from ..store.objects import StorageUnreachable

    return str(error) if isinstance(error, StorageUnreachable) else None
