"""The catalog, for commands that look into it or change it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .options import settings_from

if TYPE_CHECKING:
    from pathlib import Path

    from ..catalog import Catalog


@contextmanager
def opened(data: Path | None) -> Iterator[Catalog]:
    """The catalog that the settings name, brought to this version's form."""
    from ..catalog import Catalog
    from ..store.files import make_folder

    settings = settings_from(data=data)
    make_folder(settings.data)
    catalog = Catalog(settings.catalog_address)
    try:
        catalog.migrate()
        yield catalog
    finally:
        catalog.close()
