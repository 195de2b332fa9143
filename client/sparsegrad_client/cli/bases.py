"""``sparsegrad-client bases``: what the server has published."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sparsegrad_shared.references import parse_name, parse_segment
from sparsegrad_shared.terminal.commands import Commands
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Listing, Table
from sparsegrad_shared.terminal.values import held_to

from . import basis_aliases, basis_files, basis_versions, completion
from .basis_options import ReferenceArgument
from .connecting import connect
from .options import ServerOption

if TYPE_CHECKING:
    from sparsegrad_shared.bases import BasisVersion
    from sparsegrad_shared.report import BasisReport

    from ..service.queries import BasisFilters

app = Commands(
    name="bases",
    help="Find, inspect, name, compare and pass on bases.",
    epilog="Example: sparsegrad-client bases show team/minilm-cola@3",
)
_FIND = "Which ones"


def _shape(text: str) -> None:
    from sparsegrad_shared.search import parse_shape

    parse_shape(text)


@app.command("list")
def list_bases(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD...",
            help="Words, each somewhere in the name, the model, the data set or a tag.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Only versions of team/name.",
            callback=held_to(parse_name),
            autocompletion=completion.names,
            show_default=False,
            rich_help_panel=_FIND,
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            help="Only names of this namespace.",
            callback=held_to(parse_segment),
            show_default=False,
            rich_help_panel=_FIND,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Only bases of this model id.", show_default=False, rich_help_panel=_FIND
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Only bases of this data set's id.", show_default=False, rich_help_panel=_FIND
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Only with a group of this shape, rows by columns: 3072x768, or '*x768' for any "
            "rows; several times for several groups.",
            callback=held_to(_shape),
            show_default=False,
            rich_help_panel=_FIND,
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="Only with this tag; several times for several tags.",
            callback=held_to(parse_segment),
            show_default=False,
            rich_help_panel=_FIND,
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(
            help="Only versions that this alias names.",
            callback=held_to(parse_segment),
            show_default=False,
            rich_help_panel=_FIND,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    server: ServerOption = None,
) -> Result:
    """List the published bases, newest first.

    Examples:
        sparsegrad-client bases list llama reviews

        sparsegrad-client bases list --model meta-llama/Llama-2-7b-hf --shape 11008x4096
    """
    from ..report.tables import VERSION_COLUMNS, version_row

    wanted = {
        "q": " ".join(words) if words else None,
        "name": name,
        "namespace": namespace,
        "model": model,
        "dataset": dataset,
        "shape": shape,
        "tag": tag,
        "alias": alias,
    }
    given = {key: value for key, value in wanted.items() if value}
    filters = cast("BasisFilters", given | {"limit": min(limit, 100)})
    with connect(server) as service:
        found = list(islice(service.search(**filters), limit))
    none = "no basis matches" if given else "no bases yet; `sparsegrad-client calibrate` makes one"
    return Result(
        data=found,
        shown=[Listing(VERSION_COLUMNS, [version_row(version) for version in found], empty=none)],
        brief=[str(version) for version in found],
    )


@app.command()
def show(reference: ReferenceArgument, server: ServerOption = None) -> Result:
    """Show a basis: where it comes from, its groups, its aliases and tags.

    Example:
        sparsegrad-client bases show team/minilm-cola@3
    """
    from ..report.tables import GROUP_COLUMNS, group_rows

    with connect(server) as service:
        version = service.resolve(reference)
    manifest = version.manifest
    lines = {
        "basis": str(version),
        "digest": version.digest,
        "aliases": ", ".join(version.aliases) or "none",
        "tags": ", ".join(version.tags) or "none",
        "pinned": "yes" if version.pinned else "no",
        "model": f"{manifest.model.id} ({manifest.model.architecture})",
        "revision": manifest.model.revision or "not known",
        "data set": manifest.dataset.id,
        "fingerprint": manifest.dataset.fingerprint,
        "options": _options(manifest.options.model_dump()),
        "created": f"{version.created:%Y-%m-%d %H:%M %Z}",
        "by": version.created_by or "not known",
        "calibration": version.calibration or "none: it was imported",
    }
    return Result(
        data=version,
        shown=[
            *(f"{label:12} {text}" for label, text in lines.items()),
            Table(GROUP_COLUMNS, group_rows(manifest), numbers=2),
        ],
        brief=[str(version)],
    )


@app.command()
def pull(reference: ReferenceArgument, server: ServerOption = None) -> Result:
    """Fetch a basis into the local cache, and verify it.

    Example:
        sparsegrad-client bases pull team/minilm-cola:prod
    """
    from ..bases import fetch_basis
    from ..home import bases_folder

    with Phases() as phases:
        basis = fetch_basis(reference, server, progress=phases)
    folder = bases_folder() / basis.digest.removeprefix("sha256:")
    return Result(
        data={"basis": basis.reference, "digest": basis.digest, "folder": folder},
        shown=[f"{basis} ({basis.digest})", str(folder)],
        brief=[str(folder)],
    )


@app.command()
def report(
    reference: ReferenceArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A new folder for the report with pictures: a page, index.html, and PNGs.",
            show_default=False,
        ),
    ] = None,
    server: ServerOption = None,
) -> Result:
    """Report how good a basis is, on gradients that it was not fitted on.

    Examples:
        sparsegrad-client bases report team/minilm-cola

        sparsegrad-client bases report team/minilm-cola --output minilm-cola-report
    """
    from ..folders import check_replaceable
    from ..report import tables
    from ..report.reading import download_report

    if output is not None:
        check_replaceable(output)
    with connect(server) as service:
        version = service.resolve(reference)
        found = download_report(service, version)
    page = None if output is None else _drawn(version, found, output)
    title = f"{version}: share of held-out gradient energy in the largest entries"
    return Result(
        data={"basis": str(version), "digest": version.digest, "report": found, "page": page},
        shown=[
            Table(tables.REPORT_COLUMNS, tables.report_rows(found), title=title, numbers=6),
            Table(tables.RANK_COLUMNS, tables.rank_rows(found), title="Ranks", numbers=3),
            Table(tables.BLOCK_COLUMNS, tables.block_rows(found), "In leading blocks", 2),
            *([] if page is None else [f"pictures  {page}"]),
        ],
        brief=None if page is None else [str(page)],
    )


def _drawn(version: BasisVersion, report: BasisReport, output: Path) -> Path:
    from ..report.basis_report import write_basis_report

    with Phases() as phases:
        return write_basis_report(version, report, output, progress=phases)


@app.command()
def diff(
    a: ReferenceArgument,
    b: ReferenceArgument,
    server: ServerOption = None,
) -> Result:
    """Compare two bases: angles between their leading columns, and what they share.

    0 degrees means the same subspace, 90 a right angle.

    Example:
        sparsegrad-client bases diff team/minilm-cola@1 team/minilm-cola@2
    """
    from ..report.differences import DIFFERENCE_COLUMNS, as_data, difference_rows, sentences

    with connect(server) as service:
        first, second = (service.resolve(reference) for reference in (a, b))
        difference = service.diff(first.digest, second.digest)
    rows = difference_rows(difference, first.manifest)
    return Result(
        data=as_data(difference, first.manifest),
        shown=[
            f"Between the leading columns of {first} and {second}",
            Table(DIFFERENCE_COLUMNS, rows, numbers=5),
            *sentences(difference, first.manifest),
        ],
        brief=sentences(difference, first.manifest),
    )


def _options(options: dict[str, object]) -> str:
    given = {name: value for name, value in options.items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in given.items())


app.add_typer(basis_aliases.app, name="alias")
app.command("promote")(basis_aliases.promote)
app.command("rollback")(basis_aliases.rollback)
app.command("history")(basis_aliases.history)
app.command("tag")(basis_versions.tag)
app.command("untag")(basis_versions.untag)
app.command("pin")(basis_versions.pin)
app.command("unpin")(basis_versions.unpin)
app.command("delete")(basis_versions.delete)
app.command("export")(basis_files.export)
app.command("import")(basis_files.import_)
