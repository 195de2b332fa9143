"""Lists: aligned for people, tab-separated for programs, and never more than they seem."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from sparsegrad_server.cli.table import show

ROWS = (
    {"name": "alice", "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "more": 1},
    {"name": "b", "at": None, "more": 2},
)
_SHOW = f"""
import datetime
from sparsegrad_server.cli.table import show
show(("name", "at"), {ROWS!r}, as_json=False)
"""


def test_a_program_reads_a_line_a_row_with_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    show(("name", "at"), ROWS, as_json=False)
    assert capsys.readouterr().out == "alice\t2026-01-02 03:04\nb\t-\n"


def test_json_has_all_of_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    show(("name",), ROWS, as_json=True)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == {"name": "alice", "at": "2026-01-02T03:04:05+00:00", "more": 1}
    assert second["at"] is None


def test_what_people_wrote_moves_no_cursor_and_begins_no_cell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(("name",), [{"name": "a\tb\nc\x1b[2J"}], as_json=False)
    assert capsys.readouterr().out == "a?b?c?[2J\n"


def test_a_terminal_shows_columns_that_are_aligned() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    subprocess.run([sys.executable, "-c", _SHOW], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode().splitlines()
    os.close(ours)
    assert [line.rstrip() for line in shown] == [
        "name   at",
        "alice  2026-01-02 03:04",
        "b      -",
    ]
