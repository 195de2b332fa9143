"""A littered service for each test: on SQLite and local folders, on PostgreSQL and S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.litter import Litter, scatter
from support.object_storage import Bucket
from support.workbench import Workbench


@pytest.fixture(params=["sqlite and folders", "postgresql and s3"])
def litter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Litter]:
    """A service with something left over of every kind."""
    settings: dict[str, str] = {}
    if request.param == "postgresql and s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        url: str = request.getfixturevalue("postgres_url")
        settings = {"catalog_url": url, **bucket.settings}
    bench = Workbench(tmp_path / "data", **settings)
    with closing(bench.catalog):
        yield scatter(bench)
