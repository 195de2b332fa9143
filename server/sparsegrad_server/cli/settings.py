"""``sparsegrad-server settings``: what is in effect, and what there is to set."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Data, settings_from
from .table import AsJson, show

COLUMNS = ("variable", "value", "from")


def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of all settings instead.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show the settings that are in effect here, without secrets.

    Example: sparsegrad-server settings --data /srv/sparsegrad
    """
    from .. import settings_page

    if markdown:
        typer.echo(settings_page.markdown(), nl=False)
    else:
        show(COLUMNS, settings_page.in_effect(settings_from(data=data)), as_json=as_json)
