"""Both commands, every subcommand and every option, as their own `--help` has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from sparsegrad_client.cli.app import app as client
from sparsegrad_server.cli.app import app as server
from sparsegrad_shared.terminal.exits import MEANINGS

from .markdown import code, escaped, paragraphs, table

Command = TyperCommand | TyperGroup
_PROGRAMS = {"sparsegrad-client": client, "sparsegrad-server": server}
_EXAMPLES = re.compile(r"^Examples?:\s*", re.MULTILINE)
_KINDS = {str: "text", int: "whole number", float: "number", Path: "path", bool: ""}


def markdown(program: str) -> str:
    """The subcommands of a program, in the order of its help.

    Args:
        program: `sparsegrad-client` or `sparsegrad-server`.
    """
    return paragraphs(*(_section(called, it) for called, it in _walk(program)))


def _walk(program: str) -> Iterator[tuple[str, Command]]:
    """Every command with how it is called, groups before what is in them."""

    def below(called: str, command: Command) -> Iterator[tuple[str, Command]]:
        yield called, command
        for name, part in getattr(command, "commands", {}).items():
            if not part.hidden:
                yield from below(f"{called} {name}", part)

    return below(program, get_command(_PROGRAMS[program]))


def _section(called: str, command: Command) -> str:
    about, examples = _split(command.help or "", command.epilog or "")
    arguments = [it for it in command.params if isinstance(it, TyperArgument) and not it.hidden]
    options = [it for it in command.params if isinstance(it, TyperOption) and not it.hidden]
    group = isinstance(command, TyperGroup)
    return paragraphs(
        f"## {called}" if " " not in called else f"### {called}",
        *(escaped(part) for part in about.split("\n\n")),
        "" if group else f"```text\n{' '.join(_usage(called, arguments, options))}\n```",
        table(("argument", "meaning"), ((code(_shown(it)), _about(it)) for it in arguments)),
        table(("option", "value", "meaning"), map(_option, options)),
        f"```sh\n{examples}\n```" if examples else "",
    )


def _split(help_text: str, epilog: str) -> tuple[str, str]:
    """What a help says, and its examples: a command a line."""
    about, *after = _EXAMPLES.split(help_text, maxsplit=1)
    found = "\n\n".join([*after, *_EXAMPLES.split(epilog)[1:]])
    joined = (" ".join(example.split()) for example in re.split(r"\n\s*\n", found))
    return about.strip(), "\n".join(filter(None, joined))


def _usage(
    called: str, arguments: list[TyperArgument], options: list[TyperOption]
) -> Iterator[str]:
    yield called
    yield from (_shown(it) for it in arguments)
    for it in options:
        if it.required:
            yield f"{it.opts[0]} {_kind(it).split(', ')[0].upper().replace(' ', '_')}"
    if any(not it.required for it in options):
        yield "[options]"


def _shown(argument: TyperArgument) -> str:
    name = argument.metavar or argument.name.upper()
    name += "..." if argument.nargs == -1 and not name.endswith("...") else ""
    return name if argument.required else f"[{name}]"


def _option(it: TyperOption) -> tuple[str, str, str]:
    names = [name for name in (*it.opts, *it.secondary_opts) if name.strip()]
    return ", ".join(map(code, names)), _value(it), _about(it)


def _value(it: TyperOption) -> str:
    parts = [_kind(it)]
    if it.required:
        parts.append("must be given")
    if it.show_default and it.default is not None and not it.is_flag and it.default != ():
        parts.append(f"{code(str(it.default))} by default")
    return ", ".join(filter(None, parts))


def _kind(it: TyperOption) -> str:
    annotation = it.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(map(code, get_args(annotation)))
    kind = _KINDS.get(annotation, "text")
    bounds = [f"at least {it.min:g}"] if it.min is not None else []
    bounds += [f"at most {it.max:g}"] if it.max is not None else []
    several = ["several times for several"] if it.multiple else []
    return ", ".join([kind, *bounds, *several])


def _about(it: TyperArgument | TyperOption) -> str:
    said = escaped(it.help or "")
    return f"{said} Read from {code(it.envvar)} too." if it.envvar else said


def exit_codes() -> str:
    """How a process of either program ends."""
    rows = ((str(number), escaped(meaning)) for number, meaning in MEANINGS.items())
    return table(("exit code", "meaning"), rows)
