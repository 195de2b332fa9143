"""Lists: aligned for people, tab-separated for programs, and never more than they seem."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from sparsegrad_shared.terminal.tables import Listing, Table

ROWS = (("alice", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)), ("b", None))


def _shown(what: Listing | Table, *, terminal: bool) -> list[str]:
    file = io.StringIO()
    what.show(Console(file=file, force_terminal=terminal, width=40, color_system=None))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_program_reads_a_line_a_row_with_tabs() -> None:
    shown = _shown(Listing(("name", "at"), ROWS), terminal=False)
    assert shown == ["alice\t2026-01-02 03:04", "b\t-"]


def test_a_terminal_shows_columns_that_are_aligned() -> None:
    shown = [
        line.replace("\x1b[1m", "").replace("\x1b[0m", "")
        for line in _shown(Listing(("name", "at"), ROWS), terminal=True)
    ]
    assert [line.rstrip() for line in shown] == [
        "name   at",
        "alice  2026-01-02 03:04",
        "b      -",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_what_people_wrote_moves_no_cursor_begins_no_cell_and_is_no_markup(terminal: bool) -> None:
    shown = _shown(Listing(("name",), [("a\tb\nc\x1b[2J[red]",)]), terminal=terminal)
    assert shown[-1] == "a?b?c?[2J[red]"


@pytest.mark.parametrize("terminal", [False, True])
def test_an_empty_list_is_said_on_standard_error_alone(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _shown(Listing(("name",), [], empty="nobody"), terminal=terminal) == []
    assert capsys.readouterr().err == "nobody\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_table_of_figures_has_its_head_everywhere(terminal: bool) -> None:
    table = Table(("name", "loss"), [("before", "0.7"), ("after", "0.25")], title="t", numbers=1)
    shown = "\n".join(_shown(table, terminal=terminal))
    assert "name" in shown
    assert "0.25" in shown
