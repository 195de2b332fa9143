"""Kill -9 before operations that change the disk, drawn by lot; `crash_points.py` takes all."""

from __future__ import annotations

import os
import secrets

import pytest
from support.faults.crashes import POINTS, Crashes

DRAWS = 2
SEED = int(os.environ.get("SPARSEGRAD_KILLS_SEED", secrets.randbelow(2**31)))


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Crashes:
    return Crashes(tmp_path_factory.mktemp("crashes"))


@pytest.mark.parametrize("trial", POINTS)
def test_a_kill_at_any_point_loses_nothing(crashes: Crashes, trial: str) -> None:
    crashes.draw(trial, SEED, DRAWS, say=print)
