"""Options that several subcommands take, and the settings that they make."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.terminal import mode

from ..telemetry import logs

if TYPE_CHECKING:
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
        raise InvalidInput("; ".join(map(_said, error.errors()))) from None


def configure_logs(settings: Settings) -> None:
    """Logs as the settings have them; under ``--quiet`` only what calls for somebody."""
    quiet = mode.current().quiet and settings.log_level in ("debug", "info")
    logs.configure(settings.log_format, "warning" if quiet else settings.log_level)


def _said(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        return problem["msg"]
    name = str(problem["loc"][0])
    if problem["type"] == "missing":
        return f"expected --{name} or SPARSEGRAD_{name.upper()}"
    return f"{name}: {problem['msg']}; got {problem['input']!r}"
