"""Progress: bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sparsegrad_shared.terminal.progress import Phases


def _written(*, terminal: bool) -> str:
    file = io.StringIO()
    with Phases(Console(file=file, force_terminal=terminal, width=100)) as phases:
        for done in range(101):
            phases("collecting gradients", done, 100)
        phases("uploading gradients", 3, 3)
        phases.say("a note [with brackets]")
    return file.getvalue()


def test_elsewhere_a_phase_is_its_first_and_last_line() -> None:
    lines = _written(terminal=False).splitlines()
    assert lines[0] == "collecting gradients: 0/100"
    assert lines[1].startswith("collecting gradients: 100/100, ")
    assert lines[2].startswith("uploading gradients: 3/3")
    assert lines[3:] == ["a note [with brackets]"]


def test_a_terminal_gets_a_bar_with_the_count() -> None:
    written = _written(terminal=True)
    assert "100/100" in written
    assert "uploading gradients" in written
    assert "a note [with brackets]" in written


@pytest.mark.parametrize(("rate", "text"), [(12.34, "12.3/s"), (0.5, "2.0 s each")])
def test_a_rate_reads_well(rate: float, text: str) -> None:
    assert rate_text(rate) == text
