"""Every command of both programs, found by walking them: help, options, wrong values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command_lines import commands
from typer import TyperException
from typer.core import TyperArgument, TyperOption

from sparsegrad_shared.terminal.exits import MEANINGS, WRONG_USAGE
from sparsegrad_shared.terminal.failures import failure

COMMANDS = commands()
LEAVES = {called: it for called, it in COMMANDS.items() if not hasattr(it, "commands")}
SERVICES = {
    "sparsegrad-server serve",
    "sparsegrad-server worker",
    "sparsegrad-server cluster scheduler",
    "sparsegrad-server cluster worker",
}
FREE = (str, Path)  # any text goes


def _options(command: Any) -> Iterator[TyperOption]:
    return (it for it in command.params if isinstance(it, TyperOption) and not it.hidden)


def _picky() -> Iterator[tuple[str, str]]:
    """Options whose value is looked at: numbers, choices, references and names."""
    for called, command in LEAVES.items():
        for option in _options(command):
            free = option.type_descriptor.annotation in FREE and option.callback is None
            if not (option.is_flag or free):
                yield called, option.opts[0]


@pytest.mark.parametrize("called", COMMANDS)
def test_everything_that_can_be_given_is_explained(called: str) -> None:
    for parameter in COMMANDS[called].params:
        if not parameter.hidden:
            assert (parameter.help or "").endswith("."), f"{parameter.name}: {parameter.help}"
        if isinstance(parameter, TyperArgument):
            assert (parameter.metavar or "").isupper(), f"{parameter.name} has no name in capitals"


@pytest.mark.parametrize("called", COMMANDS)
def test_every_command_speaks_as_it_is_told(called: str) -> None:
    given = {name for option in _options(COMMANDS[called]) for name in option.opts}
    assert {"--quiet", "-q", "--debug"} <= given
    assert ("--json" in given) == (called not in SERVICES)


@pytest.mark.parametrize("called", COMMANDS)
def test_help_fits_80_columns_and_cuts_nothing_off(
    called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = COMMANDS[called]
    command.get_help(command.context_class(command, info_name=called))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]


@pytest.mark.parametrize(("called", "option"), list(_picky()))
def test_a_wrong_value_is_answered_with_the_options_name(called: str, option: str) -> None:
    command = COMMANDS[called]
    with pytest.raises(TyperException) as refusal:
        command.make_context(called, [option, "what, ever"])
    error, code = failure(refusal.value, called, {})
    assert code == WRONG_USAGE
    names = next(it.opts for it in _options(command) if option in it.opts)
    assert error.message.startswith(" / ".join(names))
    assert "what, ever" in error.message
    assert f"see `{called} --help`" in error.message


@pytest.mark.parametrize("called", LEAVES)
def test_an_option_that_there_is_not_is_answered_with_the_nearest(called: str) -> None:
    command = COMMANDS[called]
    with pytest.raises(TyperException) as refusal:
        command.make_context(called, ["--quitt"])
    error, code = failure(refusal.value, called, {})
    assert code == WRONG_USAGE
    assert f"no such option: --quitt; did you mean --quiet? See `{called} --help`" == error.message


@pytest.mark.parametrize("program", ["sparsegrad-client", "sparsegrad-server"])
def test_the_help_of_a_program_tells_every_exit_code(program: str) -> None:
    for code, meaning in MEANINGS.items():
        assert f"{code} {meaning}" in COMMANDS[program].epilog
