"""``sparsegrad-client bases export`` and ``import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparsegrad_shared.errors import WrongUsage
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result

from .basis_options import NameArgument, ReferenceArgument
from .options import ServerOption


def export(
    reference: ReferenceArgument,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A new file for the whole basis.", show_default=False),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="A folder in place of a file, with a card: what a model hub takes as it is.",
            show_default=False,
        ),
    ] = None,
    server: ServerOption = None,
) -> Result:
    """Write a basis as one file, or as a folder with a card.

    Examples:
        sparsegrad-client bases export team/minilm-cola@3 minilm-cola.tar

        sparsegrad-client bases export team/minilm-cola@3 --folder minilm-cola
    """
    from ..sharing.exchange import export_file, export_folder

    if (file is None) == (folder is None):
        raise WrongUsage("say where to: either a FILE, or --folder DIR")
    with Phases() as phases:
        if file is not None:
            version, place = export_file(reference, file, server, progress=phases), file
        elif folder is not None:
            version, place = export_folder(reference, folder, server, progress=phases), folder
    return Result(
        data={"basis": str(version), "digest": version.digest, "place": place},
        shown=[f"{version} ({version.digest})", str(place)],
        brief=[str(place)],
    )


def import_(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="What `bases export` wrote: a file or a folder."),
    ],
    name: NameArgument,
    server: ServerOption = None,
) -> Result:
    """Publish a basis from an exported file or folder.

    Only files that the server lacks are sent, so a second call goes on where the first was cut
    off. The same content under the same name is the version that it was.

    Example:
        sparsegrad-client bases import minilm-cola.tar team/minilm-cola
    """
    from ..sharing.exchange import import_basis

    with Phases() as phases:
        version = import_basis(path, name, server, progress=phases)
    return Result(
        data={"basis": str(version), "digest": version.digest},
        shown=[f"{version} ({version.digest})"],
        brief=[str(version)],
    )
