"""``sparsegrad-client bases``: what the server has published."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsegrad_shared.errors import InvalidInput, NotFound
from sparsegrad_shared.references import BasisReference, parse_name

from .options import ServerOption
from .show import output, table

app = typer.Typer(
    help="List, inspect and fetch bases, and move aliases.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
alias_app = typer.Typer(help="Names that move, such as prod.", no_args_is_help=True)
app.add_typer(alias_app, name="alias")

ReferenceArgument = Annotated[
    str,
    typer.Argument(metavar="BASIS", help="team/name, team/name@3, team/name:alias or sha256:…"),
]


@app.command("list")
def list_bases(
    name: Annotated[
        str | None, typer.Option(help="Only versions of this name.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only bases of this model id.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    server: ServerOption = None,
) -> None:
    """List the published bases, newest first.

    Example:
        sparsegrad-client bases list --model meta-llama/Llama-2-7b-hf
    """
    from ..connection import open_service
    from ..report.tables import VERSION_COLUMNS, version_row

    with open_service(server) as service:
        found = service.find_bases(name=name, model=model, limit=limit).bases
    if not found:
        output().print(
            "no bases yet; `sparsegrad-client calibrate` makes one"
            if name is None and model is None
            else "no basis matches"
        )
        return
    output().print(table(VERSION_COLUMNS, map(version_row, found)))


@app.command()
def show(reference: ReferenceArgument, server: ServerOption = None) -> None:
    """Show a basis: where it comes from, its groups, its aliases.

    Example:
        sparsegrad-client bases show team/minilm-cola@3
    """
    from ..connection import open_service
    from ..report.tables import GROUP_COLUMNS, group_rows

    with open_service(server) as service:
        version = service.resolve(reference)
    manifest = version.manifest
    lines = {
        "basis": str(version),
        "digest": version.digest,
        "aliases": ", ".join(version.aliases) or "none",
        "model": f"{manifest.model.id} ({manifest.model.architecture})",
        "revision": manifest.model.revision or "not known",
        "data set": manifest.dataset.id,
        "fingerprint": manifest.dataset.fingerprint,
        "options": _options(manifest.options.model_dump()),
        "created": f"{version.created:%Y-%m-%d %H:%M %Z}",
        "calibration": version.calibration,
    }
    console = output()
    for label, text in lines.items():
        console.print(f"{label:12} {text}", markup=False, soft_wrap=True)
    console.print(table(GROUP_COLUMNS, group_rows(manifest), numbers=2))


@app.command()
def pull(reference: ReferenceArgument, server: ServerOption = None) -> None:
    """Fetch a basis into the local cache, and verify it.

    Example:
        sparsegrad-client bases pull team/minilm-cola:prod
    """
    from ..bases import fetch_basis
    from ..home import bases_folder

    basis = fetch_basis(reference, server)
    folder = bases_folder() / basis.digest.removeprefix("sha256:")
    output().print(f"{basis} ({basis.digest})\n{folder}", markup=False, soft_wrap=True)


@app.command()
def report(reference: ReferenceArgument, server: ServerOption = None) -> None:
    """Report how good a basis is, on gradients that it was not fitted on.

    Example:
        sparsegrad-client bases report team/minilm-cola
    """
    from ..connection import open_service
    from ..report.reading import download_report
    from ..report.tables import BLOCK_COLUMNS, REPORT_COLUMNS, block_rows, report_rows

    with open_service(server) as service:
        version = service.resolve(reference)
        found = download_report(service, version)
    console = output()
    title = f"{version}: share of held-out gradient energy in the largest entries"
    console.print(table(REPORT_COLUMNS, report_rows(found), title=title, numbers=9))
    console.print(table(BLOCK_COLUMNS, block_rows(found), title="In leading blocks", numbers=2))


@app.command()
def diff(
    a: ReferenceArgument,
    b: ReferenceArgument,
    server: ServerOption = None,
) -> None:
    """Compare two bases: principal angles between their leading columns, in radians.

    0 means the same subspace, 1.571 a right angle.

    Example:
        sparsegrad-client bases diff team/minilm-cola@1 team/minilm-cola@2
    """
    from ..connection import open_service
    from ..report.tables import DIFFERENCE_COLUMNS, difference_rows

    with open_service(server) as service:
        digests = [service.resolve(reference).digest for reference in (a, b)]
        difference = service.diff(*digests)
    title = f"Angles between {a} and {b}, radians"
    output().print(table(DIFFERENCE_COLUMNS, difference_rows(difference), title=title, numbers=4))


@alias_app.command("set")
def set_alias(
    reference: Annotated[
        str, typer.Argument(metavar="VERSION", help="What it shall name, such as team/name@3.")
    ],
    alias: Annotated[str, typer.Argument(help="The alias, such as prod.")],
    expect: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Only when it names this version at present; 0: only when it does not exist.",
            show_default=False,
        ),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Let an alias name a version; its history is kept.

    Example:
        sparsegrad-client bases alias set team/minilm-cola@3 prod
    """
    from ..connection import open_service

    parsed = BasisReference.parse(reference)
    if parsed.version is None:
        raise InvalidInput(f"an alias names a version: expected team/name@3, got {reference}")
    name = f"{parsed.namespace}/{parsed.name}"
    with open_service(server) as service:
        if expect is None:
            try:
                present = service.alias(name, alias).version
            except NotFound:
                present = None
        else:
            present = expect or None
        status = service.set_alias(name, alias, parsed.version, expected=present)
    before = "new" if present is None else f"before: version {present}"
    output().print(f"{status.name}:{status.alias} is version {status.version} ({before})")


@alias_app.command("show")
def show_alias(
    name: Annotated[str, typer.Argument(help="The basis's name, team/name.")],
    alias: Annotated[str, typer.Argument(help="The alias, such as prod.")],
    server: ServerOption = None,
) -> None:
    """Show what an alias names, and has named before.

    Example:
        sparsegrad-client bases alias show team/minilm-cola prod
    """
    from ..connection import open_service

    parse_name(name)
    with open_service(server) as service:
        status = service.alias(name, alias)
    rows = [
        (str(change.version), f"{change.changed:%Y-%m-%d %H:%M}", change.by)
        for change in status.history
    ]
    title = f"{status.name}:{status.alias} is version {status.version}"
    output().print(table(("version", "since", "set by"), rows, title=title))


def _options(options: dict[str, object]) -> str:
    given = {name: value for name, value in options.items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in given.items())
