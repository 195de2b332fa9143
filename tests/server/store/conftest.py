"""Object storage as the stores see it: a part of a bucket."""

from __future__ import annotations

import pytest
from support.object_storage import Bucket

from sparsegrad_server.store.objects import Objects


@pytest.fixture
def objects(bucket: Bucket) -> Objects:
    """The objects of a new bucket."""
    return bucket.objects("part")
