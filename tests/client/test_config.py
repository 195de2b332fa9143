"""The config: contradictions are refused when it is made."""

from __future__ import annotations

import pytest

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_shared.errors import InvalidInput


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"density": 0.01, "entries": 5}, "contradict"),
        ({"density": 0.0}, "over 0"),
        ({"density": 1.5}, "up to 1"),
        ({"density": float("nan")}, "over 0"),
        ({"entries": 0}, "at least 1"),
        ({"engine": "fast"}, "'folded' or 'adapter', got 'fast'"),
        ({"selection": "best"}, "'frozen' or 'block', got 'best'"),
        ({"block": (4, 0)}, "rows and columns, both over 0"),
        ({"block": (4, 4), "entries": 16}, r"entries=16 and block=\(4, 4\) contradict"),
        ({"block": (4, 4), "selection": "frozen"}, "block.*contradict"),
        ({"engine": "adapter", "selection": "dynamic"}, "known before the backward pass"),
        ({"engine": "adapter", "selection": "frozen"}, "known before the backward pass"),
        ({"accumulate": "all"}, "'gradients' or 'selected', got 'all'"),
        ({"accumulate": "selected", "block": (4, 4)}, "leaves nothing to select"),
        ({"accumulate": "selected", "selection": "frozen"}, "leaves nothing to select"),
        ({"accumulate": "selected", "engine": "adapter"}, "leaves nothing to select"),
        ({"error_feedback": "always"}, "'auto', True or False, got 'always'"),
        ({"error_feedback": 1}, "'auto', True or False, got 1"),
        ({"error_feedback": True, "block": (4, 4)}, "leaves nothing over"),
        ({"error_feedback": True, "selection": "frozen"}, "leaves nothing over"),
        ({"error_feedback": True, "engine": "adapter"}, "leaves nothing over"),
        ({"error_feedback": True, "accumulate": "selected"}, "is gone before the step"),
        ({"trainable": "classifier"}, r"write \('classifier',\)"),
        ({"trainable": ("(",)}, "not a regular expression"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        SparseGradConfig(**settings)  # type: ignore[arg-type]


def test_the_default_is_the_papers_share() -> None:
    assert SparseGradConfig().entries_of(3072 * 768) == round(0.01 * 3072 * 768)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"error_feedback": True}, True),
        ({"error_feedback": False}, False),
        ({"accumulate": "selected"}, False),
    ],
)
def test_error_feedback_is_given_where_a_step_sees_whole_gradients(
    settings: dict[str, object], expected: bool
) -> None:
    assert SparseGradConfig(**settings).feeds_back is expected  # type: ignore[arg-type]


def test_a_number_of_entries_is_the_same_for_every_layer() -> None:
    config = SparseGradConfig(entries=100_000)
    assert config.entries_of(11008 * 4096) == config.entries_of(576 * 1536) == 100_000


def test_a_layer_trains_at_least_one_entry() -> None:
    assert SparseGradConfig(density=1e-6).entries_of(10) == 1
