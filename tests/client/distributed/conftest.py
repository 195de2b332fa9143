"""Two ranks that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ranks import Ranks


@pytest.fixture(scope="package")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Two processes of one gloo group."""
    with Ranks(tmp_path_factory.mktemp("ranks")) as two:
        yield two
