"""Catalogs on each kind of database, for tests that have to hold on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from sparsegrad_server.catalog import Catalog
from sparsegrad_server.catalog.tables import Table

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; the test runs once on each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'catalog.sqlite'}"


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """A catalog with all tables and no row; the test runs once on each kind of database."""
    catalog = Catalog(catalog_url)
    catalog.migrate()
    yield catalog
    catalog.close()


def empty(catalog: Catalog) -> None:
    """Delete every row, for the next example on the same database."""
    with catalog.writing() as session:
        for table in reversed(Table.metadata.sorted_tables):
            session.execute(delete(table))
