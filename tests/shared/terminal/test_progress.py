"""Progress: bars that fit the terminal, a few plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from rich.console import Console

from sparsegrad_shared.progress import InBytes, Part
from sparsegrad_shared.terminal import mode
from sparsegrad_shared.terminal.amounts import amount, duration, rate
from sparsegrad_shared.terminal.mode import Mode
from sparsegrad_shared.terminal.progress import Phases

LONG = "uploading gradients, as fast as the busy server takes them"


@pytest.fixture(autouse=True)
def _speaking() -> Iterator[None]:
    before = mode.current()
    yield
    mode.take(before)


def _written(*, terminal: bool, width: int = 80) -> str:
    file = io.StringIO()
    with Phases(Console(file=file, force_terminal=terminal, width=width)) as phases:
        phases("loading the model", 0, 0)
        for done in range(101):
            phases("collecting gradients", done, 100)
        phases(LONG, 3, 7)
        phases(InBytes("downloading the basis"), 2_500_000, 5_000_000)
        phases.say("a note [with brackets]")
    return file.getvalue()


def _lines_of(drawn: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "\n").splitlines()


def test_elsewhere_a_phase_is_its_first_and_last_line() -> None:
    lines = _written(terminal=False).splitlines()
    assert lines[0] == "collecting gradients: 0/100"
    assert lines[1].startswith("collecting gradients: 100/100, ")
    assert lines[2:] == [
        f"{LONG}: 3/7",
        "downloading the basis: 2.5 MB/5.0 MB",
        "a note [with brackets]",
    ]


def test_a_terminal_keeps_a_line_for_each_phase_and_none_is_wrapped() -> None:
    lines = _lines_of(_written(terminal=True))
    last = [line for line in lines if line.strip()][-4:]
    assert last[0].startswith("loading the model")
    assert re.search(r"100/100 .*\d+ s", last[1])
    assert "…" in last[2]
    assert "3/7" in last[2]
    assert "2.5 MB" in last[3]
    assert max(map(len, lines)) <= 80
    assert "a note [with brackets]" in lines


def _job(*, terminal: bool) -> list[str]:
    file = io.StringIO()
    with Phases(Console(file=file, force_terminal=terminal, width=80)) as phases:
        phases("uploading", 0, 7)
        phases(Part("uploading slowly", "uploading"), 3, 7)
        for group in "abc":
            for done in range(6):
                phases(Part(f"summing {group}", "computing"), done, 5)
        phases("downloading", 0, 1)
        phases("downloading", 1, 1)
    return _lines_of(file.getvalue())


def test_the_parts_of_a_phase_share_its_line() -> None:
    lines = [line for line in _job(terminal=True) if line.strip()]
    for line, name in zip(lines[-3:], ("uploading", "computing", "downloading"), strict=True):
        assert re.match(rf"{name} .*\d+ s *$", line)
    assert not {"slowly", "summing"} & set(" ".join(lines[-3:]).split())


def test_elsewhere_a_phase_of_parts_says_the_one_at_hand() -> None:
    *lines, last = _job(terminal=False)
    assert lines == ["uploading: 0/7", "computing: summing a: 0/5", "downloading: 0/1"]
    assert last.startswith("downloading: 1/1, ")


def test_what_was_cut_short_is_not_shown_as_done() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        phases = stack.enter_context(Phases(console))
        phases(Part("summing", "computing"), 1, 2)
        raise KeyboardInterrupt
    assert "summing" in _lines_of(file.getvalue())[-1]


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    assert max(map(len, _lines_of(_written(terminal=True, width=width)))) <= width


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in _written(terminal=True)


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_writes_nothing(terminal: bool) -> None:
    mode.take(Mode(quiet=True))
    assert _written(terminal=terminal) == ""


def test_json_leaves_standard_error_to_errors_where_a_program_reads_it() -> None:
    mode.take(Mode(json=True))
    assert _written(terminal=False) == ""
    assert "collecting gradients" in _written(terminal=True)


@pytest.mark.parametrize(
    ("phase", "units", "seconds", "text"),
    [
        ("steps", 12.34, 1, "12.3/s"),
        ("steps", 1, 2, "2.0 s each"),
        ("steps", 5000, 1, "5000/s"),
        ("steps", 0, 1, ""),
        (InBytes("bytes"), 2_000_000, 4, "500.0 kB/s"),
    ],
)
def test_a_rate_reads_well(phase: str, units: float, seconds: float, text: str) -> None:
    assert rate(phase, units, seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "1:40"), (7265, "2:01:05")]
)
def test_a_time_reads_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_bytes_are_in_the_unit_that_reads_best() -> None:
    assert amount(InBytes("x"), 999) == "999 B"
    assert amount(InBytes("x"), 1_234_567) == "1.2 MB"
    assert amount("x", 1_234_567) == "1234567"
