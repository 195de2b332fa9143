"""Commands as texts show them, held to what the two programs take."""

from __future__ import annotations

import re
import shlex
from typing import Any

from typer.main import get_command

from sparsegrad_client.cli.app import app as client
from sparsegrad_server.cli.app import app as server

PROGRAMS = {
    "sparsegrad-client": get_command(client),
    "sparsegrad-server": get_command(server),
}
_CONTINUED = re.compile(r"\\?\n\s*(?=--)")
_SHOWN = re.compile(r"\bsparsegrad-(?:client|server) .*")


def commands_in(text: str) -> list[str]:
    """The commands that a text shows; a line that begins with an option belongs to the last one."""
    return [found.strip() for found in _SHOWN.findall(_CONTINUED.sub(" ", text))]


def check(line: str) -> None:
    """Hold a command to be one that there is, with options that it knows and all that it needs."""
    program, *words = shlex.split(line, comments=True)
    command = PROGRAMS[program]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"no such command: {line}"
    command.make_context(line, words)


def commands() -> dict[str, Any]:
    """Every command and group of both programs, by how it is called."""
    found = list(PROGRAMS.items())
    for called, command in found:  # grows while it is gone through
        below = getattr(command, "commands", {})
        found += [(f"{called} {name}", part) for name, part in below.items()]
    return dict(found)


def help_texts() -> dict[str, str]:
    """What `--help` tells of every command and group, by how it is called."""
    return {called: f"{command.help}\n{command.epilog}" for called, command in commands().items()}
