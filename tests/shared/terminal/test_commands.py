"""A program of `Commands`, as a process: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sparsegrad_shared.terminal.exits import (
    CUT_OFF,
    DONE,
    FAILED,
    INTERRUPTED,
    MEANINGS,
    WRONG_USAGE,
)

MADE = {"made": "it", "size": None, "place": "a/b"}
SEE = "see `tool {}--help`"


def run(tool: Path, *arguments: str, **where: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tool), *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | where
    return subprocess.run(command, text=True, timeout=60, check=False, **streams)  # type: ignore[call-overload]


def start(tool: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(tool), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )


def test_a_result_is_on_standard_output_and_its_notes_beside_it(tool: Path) -> None:
    made = run(tool, "make", "it", "--yes")
    assert (made.returncode, made.stderr) == (DONE, "a hint\n")
    first, *table = made.stdout.splitlines()
    assert first == "made [red]it"
    assert table[0].strip() == "parts"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--json", "make", "it", "--yes"),
        ("make", "it", "--yes", "--json"),
        ("--quiet", "make", "--json", "it", "--yes"),
    ],
)
def test_json_is_one_document_wherever_the_option_stands(
    tool: Path, arguments: tuple[str, ...]
) -> None:
    made = run(tool, *arguments)
    assert (made.returncode, made.stderr) == (DONE, "")
    assert json.loads(made.stdout) == MADE


@pytest.mark.parametrize("arguments", [("--quiet", "make", "it", "-y"), ("make", "it", "-y", "-q")])
def test_quiet_is_the_result_in_brief_and_nothing_else(
    tool: Path, arguments: tuple[str, ...]
) -> None:
    made = run(tool, *arguments)
    assert (made.returncode, made.stdout, made.stderr) == (DONE, "it\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fail", "ours"), FAILED, "not there at all Look elsewhere."),
        (("fail", "full"), FAILED, "the disk is full: no space left for /data/x; free some and "
         "try again"),
        (("fail", "file"), FAILED, "cannot use /data/x: Permission denied"),
        (("fail", "memory"), FAILED, "out of memory; take a smaller --batch-size, or a larger "
         "machine"),
        (("fail", "extra"), FAILED, "this command needs absent, which is not installed; run: pip "
         "install 'sparsegrad-peft[more]'"),
        (("fail", "module"), FAILED, "a module is missing: somebody; `tool --debug …` shows who "
         "needs it"),
        (("fail", "library"), FAILED, "unforeseen error: KeyError: 'odd'; `tool --debug …` shows "
         "where"),
        (("fail", "known"), FAILED, "sums do not add up"),
        (("mkae", "it"), WRONG_USAGE, "no such command 'mkae'; did you mean 'make'? See `tool "
         "--help`"),
        (("make", "it", "--sise", "2"), WRONG_USAGE, "no such option: --sise; did you mean "
         "--size? See `tool make --help`"),
        (("make",), WRONG_USAGE, "missing argument NAME; " + SEE.format("make ")),
        (("make", "it", "--size", "3"), WRONG_USAGE, "--size: expected an even number; got 3; "
         + SEE.format("make ")),
        (("make", "it", "--part", "2", "--part", "5"), WRONG_USAGE, "--part: expected an even "
         "number; got 5; " + SEE.format("make ")),
        (("make", "it"), WRONG_USAGE, "Make it? Nobody is there to answer; say it with --yes"),
        (("serve", "--quiet"), DONE, None),
    ],
)  # fmt: skip
def test_an_error_is_one_line_or_one_problem(
    tool: Path, arguments: tuple[str, ...], code: int, said: str | None
) -> None:
    failed = run(tool, *arguments, stdin=subprocess.DEVNULL)
    expected = "" if said is None else f"error: {said}\n"
    assert (failed.returncode, failed.stdout, failed.stderr) == (code, "", expected)
    if said is not None:
        problem = json.loads(run(tool, "--json", *arguments, stdin=subprocess.DEVNULL).stderr)
        assert (" ".join(problem["detail"].split()), problem["exit_code"]) == (said, code)
        assert problem["type"].startswith("urn:sparsegrad:error:")


def test_debug_shows_where_before_what(tool: Path) -> None:
    failed = run(tool, "fail", "library", "--debug")
    first, *_, last = failed.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("error: unforeseen error: KeyError")


def test_a_service_has_no_json(tool: Path) -> None:
    assert run(tool, "serve", "--json").returncode == WRONG_USAGE
    assert "no result to print" in run(tool, "--json", "serve").stderr


def test_a_warning_is_a_line_to_people_and_data_to_programs(tool: Path) -> None:
    assert run(tool, "warn").stderr == "warning: mind the gap\n"
    assert json.loads(run(tool, "warn", "--json").stderr) == {"warning": "mind the gap"}
    assert run(tool, "warn", "--quiet").stderr == ""


def test_ctrl_c_says_how_to_go_on(tool: Path) -> None:
    with start(tool, "wait") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (
        INTERRUPTED,
        "interrupted. Go on with: tool wait --again.\n",
    )


def test_a_second_ctrl_c_ends_it_at_once(tool: Path) -> None:
    with start(tool, "wait", "--stubborn") as process:
        assert process.stdout is not None
        for line in ("waiting\n", "tidying\n"):
            assert process.stdout.readline() == line
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (INTERRUPTED, "")


@pytest.mark.parametrize("command", ["many", "--help"])
def test_a_reader_that_goes_away_is_no_error(tool: Path, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    cut = run(tool, command, stdout=writing)
    os.close(writing)
    assert (cut.returncode, cut.stderr) == (CUT_OFF, "")


@pytest.mark.parametrize("arguments", [("many",), ("--help",), ("make", "it", "-y", "--json")])
def test_a_full_disk_behind_standard_output_is_an_error(
    tool: Path, arguments: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        failed = run(tool, *arguments, stdout=full)
    assert failed.returncode == FAILED
    assert "the disk is full" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_no_subcommand_shows_the_help(tool: Path) -> None:
    assert run(tool).stdout == run(tool, "--help").stdout


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == {DONE, FAILED, WRONG_USAGE, 3, INTERRUPTED, CUT_OFF}
