"""A data folder of its own for each test of jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """The server's parts over an empty folder."""
    return Workbench(tmp_path / "data")
