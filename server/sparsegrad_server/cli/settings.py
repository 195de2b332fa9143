"""``sparsegrad-server settings``: what is in effect, and what there is to set."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Listing

from .options import Data, settings_from

COLUMNS = ("variable", "value", "from")


def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of all settings instead.")
    ] = False,
    data: Data = None,
) -> Result:
    """Show the settings that are in effect here, without secrets.

    Example: sparsegrad-server settings --data /srv/sparsegrad
    """
    from .. import settings_page

    if markdown:
        page = settings_page.markdown()
        return Result(data={"markdown": page}, shown=[page.removesuffix("\n")])
    found = list(settings_page.in_effect(settings_from(data=data)))
    rows = [[setting[name] for name in COLUMNS] for setting in found]
    return Result(data=found, shown=[Listing(COLUMNS, rows)])
