"""Questions, colours and bars on a real terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.terminals import Terminal

from sparsegrad_shared.terminal.exits import DONE, FAILED, INTERRUPTED

CLEAN = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}


def _terminal(tool: Path, *arguments: str, **variables: str) -> Terminal:
    return Terminal([sys.executable, str(tool), *arguments], CLEAN | variables)


@pytest.mark.parametrize("answer", ["y\n", "yes\n", "what?\ny\n"])
def test_yes_goes_on(tool: Path, answer: str) -> None:
    with _terminal(tool, "make", "it") as terminal:
        terminal.until(r"Make it\? \[y/N\] ")
        terminal.type(answer)
        assert terminal.end() == DONE
        assert "made [red]it" in "\n".join(terminal.lines)


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"], ids=["no", "nothing", "end of input"])
def test_anything_else_changes_nothing(tool: Path, answer: str) -> None:
    with _terminal(tool, "make", "it") as terminal:
        terminal.until(r"Make it\? \[y/N\] ")
        terminal.type(answer)
        assert terminal.end() == FAILED
        assert terminal.lines[-1] == "error: nothing was changed"


def test_ctrl_c_is_an_answer_too(tool: Path) -> None:
    with _terminal(tool, "make", "it") as terminal:
        terminal.until(r"Make it\?")
        terminal.interrupt()
        assert terminal.end() == INTERRUPTED
        assert terminal.lines[-1] == "interrupted"


def test_yes_on_the_command_line_asks_nothing(tool: Path) -> None:
    with _terminal(tool, "make", "it", "--yes") as terminal:
        assert terminal.end() == DONE
        assert "Make it?" not in terminal.seen


def test_a_terminal_has_colours_unless_somebody_wants_none(tool: Path) -> None:
    def drawn(**variables: str) -> str:
        with _terminal(tool, "make", "it", "--yes", **variables) as terminal:
            assert terminal.end() == DONE
            return terminal.seen

    assert "\x1b[1m" in drawn()
    assert "\x1b[3" not in drawn(NO_COLOR="1")
    assert "\x1b" not in drawn(TERM="dumb")
