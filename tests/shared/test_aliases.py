"""Where an alias is rolled back to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_shared.aliases import AliasChange, AliasStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def alias(*versions: int | None) -> AliasStatus:
    """An alias that has named these versions, oldest first; None is a deletion."""
    history = [AliasChange(version=version, changed=NOW, by="me") for version in versions]
    return AliasStatus(
        name="team/x",
        alias="prod",
        version=versions[-1] or 0,
        history=tuple(reversed(history)),
    )


@pytest.mark.parametrize(
    ("versions", "before"),
    [
        ((1,), None),
        ((1, 2), 1),
        ((1, 2, 3), 2),
        ((1, 2, 3, 2), 1),
        ((1, 2, 3, 2, 1), None),
        ((1, 2, 3, 2, 4), 2),
        ((1, 1), None),
        ((1, 2, 2), 1),
        ((1, 2, None, 3), 2),
        ((1, 2, None, 2), 1),
        ((3, 1, 3), None),
    ],
)
def test_a_step_back_is_undone_and_not_added(
    versions: tuple[int | None, ...], before: int | None
) -> None:
    assert alias(*versions).version_before() == before


@given(versions=st.lists(st.integers(1, 50), min_size=1, max_size=20, unique=True))
def test_rolling_back_again_and_again_goes_back_through_all_versions(versions: list[int]) -> None:
    history: list[int | None] = list(versions)
    seen = []
    while (before := alias(*history).version_before()) is not None:
        seen.append(before)
        history.append(before)
    assert seen == versions[-2::-1]
