"""A browser, a dashboard with real bases, and somebody who is signed in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.chromium import chromium
from support.dashboard import dashboard, made_bases, paths
from support.visiting import Visit, Visitors, visitors

__all__ = ["admin", "chromium", "dashboard", "made_bases", "nobody", "paths", "reader", "visitors"]


@pytest.fixture
def admin(visitors: Visitors) -> Iterator[Visit]:
    """A tab of an admin of namespace `team`."""
    with visitors.open("admin") as visit:
        yield visit


@pytest.fixture
def reader(visitors: Visitors) -> Iterator[Visit]:
    """A tab of somebody who may only read in namespace `team`."""
    with visitors.open("read") as visit:
        yield visit


@pytest.fixture
def nobody(visitors: Visitors) -> Iterator[Visit]:
    """A tab of somebody who has not signed in."""
    with visitors.open(None) as visit:
        yield visit
