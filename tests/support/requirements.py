"""What a test needs from the machine: skipped without it, or failed where it has to be there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

# Names, comma-separated, of what a run may not do without: `postgresql`, `s3`, `browser`. `.ci/run`
# sets it.
VARIABLE = "TESTS_REQUIRE"


def missing(name: str, reason: str) -> NoReturn:
    """Skip the test for want of `name`; fail it where `name` is required."""
    required = os.environ.get(VARIABLE, "").split(",")
    if name in required:
        pytest.fail(f"{name} is required by {VARIABLE}: {reason}", pytrace=False)
    pytest.skip(f"no {name}: {reason}")
