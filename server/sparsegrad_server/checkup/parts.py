"""What check and gc look at: the catalog, the stores and the data folder of one service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from sparsegrad_shared.errors import InvalidInput

from ..catalog import Catalog
from ..settings import Settings
from ..store.bases import BasisStore
from ..store.gradients import GradientStore
from ..store.open import open_stores


@dataclass(frozen=True)
class Parts:
    """One service, from within."""

    settings: Settings
    catalog: Catalog
    gradients: GradientStore
    bases: BasisStore


@contextmanager
def opened(settings: Settings) -> Iterator[Parts]:
    """The parts of a service that is there already; nothing is made, nothing is migrated.

    Raises:
        InvalidInput: when there is no service, or its catalog is of an older schema.
    """
    url = make_url(settings.catalog_address)
    # SQLite would make a file where there is none.
    absent = url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()
    if not absent and not settings.data.is_dir():
        raise InvalidInput(
            f"expected the data folder of a service; there is no folder {settings.data}: name it "
            "with --data, or make it: it may be empty where a database and object storage hold all"
        )
    if absent:
        raise InvalidInput(
            f"expected the data folder of a service; {settings.data} holds no catalog: name the "
            "folder with --data"
        )
    catalog = Catalog(settings.catalog_address)
    try:
        if not catalog.is_current():
            raise InvalidInput(
                "the catalog has the tables of another version of sparsegrad-server: start this "
                "version's server once, which brings them to its form, or run the newer one"
            )
        stores = open_stores(settings)
        yield Parts(settings, catalog, stores.gradients, stores.bases)
    finally:
        catalog.close()
