"""Options that several subcommands take, and the settings that they make."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.errors import InvalidInput, WrongUsage
from sparsegrad_shared.terminal import mode

from ..telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from ..settings import Settings

_log = logging.getLogger(__name__)

Data = Annotated[
    Path | None,
    typer.Option(
        envvar="SPARSEGRAD_DATA", help="Folder that holds everything; made when it is not there."
    ),
]


def settings_from(**options: object) -> Settings:
    """The settings: options that were given, then the environment, then defaults.

    Raises:
        InvalidInput: when one cannot be used; names it, and what came.
    """
    from pydantic import ValidationError

    from ..settings import Settings
    from ..settings_page import unknown_variables

    for unknown, nearest in unknown_variables(os.environ):
        hint = f"did you mean {nearest}?" if nearest else "see `sparsegrad-server settings`"
        _log.warning("%s is no setting; %s", unknown, hint)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        problems = error.errors()
        said = "; ".join(_said(problem, given) for problem in problems)
        on_command_line = any(_named(problem) in given for problem in problems)
        kind = WrongUsage if on_command_line or _lacks(problems) else InvalidInput
        raise kind(said) from None


def configure_logs(settings: Settings) -> None:
    """Logs as the settings have them; under ``--quiet`` only what calls for somebody."""
    quiet = mode.current().quiet and settings.log_level in ("debug", "info")
    logs.configure(settings.log_format, "warning" if quiet else settings.log_level)


# Options that are not called as their setting is.
_OPTIONS = {"worker_threads": "--threads", "dask_scheduler": "--scheduler"}


def _named(problem: ErrorDetails) -> str:
    return str(problem["loc"][0]) if problem["loc"] else ""


def _lacks(problems: list[ErrorDetails]) -> bool:
    return any(problem["type"] == "missing" for problem in problems)


def _said(problem: ErrorDetails, given: Mapping[str, object]) -> str:
    """A problem by the name that its value was given under: an option's, or a variable's."""
    name = _named(problem)
    variable = f"SPARSEGRAD_{name.upper()}"
    if not name:
        return problem["msg"].removeprefix("Value error, ")
    option = _OPTIONS.get(name, f"--{name}")
    if problem["type"] == "missing":
        return f"expected {option} or {variable}"
    said = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{option if name in given else variable}: {said}; got {problem['input']!r}"
