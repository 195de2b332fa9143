"""Options that several subcommands take, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.errors import InvalidInput

if TYPE_CHECKING:
    from ..settings import Settings

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

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'settings'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise InvalidInput("; ".join(problems)) from None
