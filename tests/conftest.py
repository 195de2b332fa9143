"""What any test may ask for: a database of each kind, a bucket of an S3 endpoint."""

import pytest
from hypothesis import settings
from support.catalogs import catalog, catalog_url
from support.object_storage import bucket, s3_endpoint
from support.postgres import postgres, postgres_url

__all__ = ["bucket", "catalog", "catalog_url", "postgres", "postgres_url", "s3_endpoint"]

# Timings are for benchmarks: the first example may load a library, and the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no core waits for another one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
