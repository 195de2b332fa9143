"""Kill -9 at random moments, a few a run and others each time; `kills.py` does two hundred."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from support.faults.trial import hold_trial

KILLS = int(os.environ.get("SPARSEGRAD_KILLS", "12"))
SEED = int(os.environ.get("SPARSEGRAD_KILLS_SEED", secrets.randbelow(2**31)))


def test_nothing_is_lost_stuck_or_left_over_by_kills_at_random(tmp_path: Path) -> None:
    # The seed is among the lines: pytest shows them when the test fails.
    hold_trial(tmp_path, KILLS, SEED, say=print)
