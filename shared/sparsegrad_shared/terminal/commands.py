"""Applications whose commands all take the same options for how to speak.

``--quiet``, ``--json`` and ``--debug`` stand before or after the subcommand, as people type them;
they are declared here alone. A command returns its `Result`, which is printed here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import Interrupted, WrongUsage
from . import mode
from .exits import DONE, MEANINGS
from .mode import Mode
from .results import Result, show

Command = TypeVar("Command", bound=Callable[..., Result | None])
_PANEL = "Output"

_MODE_OPTIONS = {
    "quiet": Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Only the result, in brief, and errors.", rich_help_panel=_PANEL
        ),
    ],
    "json": Annotated[
        bool,
        typer.Option(
            "--json",
            help="The result as one JSON document; an error as a problem (RFC 9457).",
            rich_help_panel=_PANEL,
        ),
    ],
    "debug": Annotated[
        bool,
        typer.Option("--debug", help="Show the whole trace of an error.", rich_help_panel=_PANEL),
    ],
}


class Commands(typer.Typer):
    """A program, or a group of its commands.

    Args:
        name: what it is called.
        help: what it is for.
        epilog: an example.
        options: further options of the program as a whole.
    """

    def __init__(
        self,
        *,
        name: str,
        help: str,  # noqa: A002 - typer's name
        epilog: str,
        options: Sequence[inspect.Parameter] = (),
    ) -> None:
        super().__init__(
            name=name,
            help=help,
            epilog=epilog,
            cls=_Group,
            rich_markup_mode="rich",
            pretty_exceptions_enable=False,
            no_args_is_help=False,
            invoke_without_command=True,  # `begin` shows the help: asking so is no mistake
            context_settings={"help_option_names": ["-h", "--help"]},
            callback=_with_mode(_group(options), has_json=True),
        )

    def command(  # type: ignore[override]  # the rest of typer's arguments is not for us
        self, name: str | None = None, *, has_json: bool = True
    ) -> Callable[[Command], Command]:
        """Add a command.

        Args:
            name: what it is called; the function's name when None.
            has_json: whether it has a result that can be data; a service has none.
        """
        add = super().command

        def added(function: Command) -> Command:
            add(name, cls=_Command)(_with_mode(_printing(function, has_json), has_json=has_json))
            return function

        return added


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own
        return _without_types(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    """Flags whose help does not say that they are a <bool>."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def exit_codes() -> str:
    """The exit codes, for the help of a program."""
    return "Exit codes: " + "; ".join(f"{code} {what}" for code, what in MEANINGS.items()) + "."


def version_option(program: str) -> inspect.Parameter:
    """The option ``--version`` of a program."""

    def print_version(wanted: bool) -> None:
        if wanted:
            from importlib.metadata import version

            typer.echo(f"{program} {version('sparsegrad-peft')}")
            raise typer.Exit

    option = typer.Option(
        "--version", callback=print_version, is_eager=True, help="Print the version."
    )
    return inspect.Parameter(
        "version",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, option],
    )


def _group(options: Sequence[inspect.Parameter]) -> Callable[..., None]:
    def begin(context: typer.Context, **_given: object) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())  # rich has printed it; this ends it as --help does

    context, _ = inspect.signature(begin, eval_str=True).parameters.values()
    return _declared(begin, [context, *options])


def _printing(function: Callable[..., Result | None], has_json: bool) -> Callable[..., int]:
    """The function, with its result printed and Ctrl-C in words."""

    @wraps(function)
    def printed(**given: object) -> int:
        if mode.current().json and not has_json:
            raise WrongUsage("--json: this command has no result to print")
        try:
            result = function(**given)
        except KeyboardInterrupt as interruption:
            notes = " ".join(getattr(interruption, "__notes__", ()))
            raise Interrupted(f"interrupted. {notes}".rstrip(" .") + ("." if notes else "")) from (
                interruption
            )
        if result is None:
            return DONE
        show(result)
        return result.exit_code

    return printed


def _with_mode(function: Callable[..., int | None], *, has_json: bool) -> Callable[..., int | None]:
    """The function with the options of the mode, which are taken before it is called."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        for name, option in _MODE_OPTIONS.items()
        if has_json or name != "json"
    ]

    @wraps(function)
    def moded(**given: object) -> int | None:
        chosen = Mode(**{option.name: bool(given.pop(option.name)) for option in extra})
        mode.take(mode.current() | chosen)
        return function(**given)

    return _declared(moded, [*own, *extra])


Declared = TypeVar("Declared", bound=Callable[..., int | None])


def _declared(function: Declared, parameters: list[inspect.Parameter]) -> Declared:
    """The function, announced with those parameters: typer asks its signature."""
    named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    function.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in named}
    return function
