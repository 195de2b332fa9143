"""Rows of texts for the tables that commands print."""

from __future__ import annotations

from sparsegrad_shared.bases import BasisManifest, BasisVersion
from sparsegrad_shared.report import BasisReport, GroupReport, Spectrum, TopEntries

Row = tuple[str, ...]

VERSION_COLUMNS = (
    "basis", "digest", "aliases", "tags", "model", "data set", "groups", "created",
)  # fmt: skip
GROUP_COLUMNS = ("group", "layers", "d_out x d_in", "rank out x in", "gradients", "held out")
REPORT_COLUMNS = ("group", "density", "in the basis", "original", "frozen", "rows", "columns")
RANK_COLUMNS = ("group", "held out", "rank in 50/90/99%", "rank out 50/90/99%")
BLOCK_COLUMNS = ("group", "leading block of G̃", "energy")


def share_text(share: float | None) -> str:
    """A share as a percentage; a dash when it is not known."""
    return "-" if share is None else f"{100 * share:.1f}%"


def energy_text(top: TopEntries | None) -> str:
    """What the largest entries hold; a dash when nothing was held out."""
    return share_text(None if top is None else top.energy)


def short_digest(digest: str) -> str:
    """The first 12 hexadecimal digits, enough to tell two bases apart by eye."""
    return digest.removeprefix("sha256:")[:12]


def size_text(size: float) -> str:
    """Bytes in the unit that reads best, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def version_row(version: BasisVersion) -> Row:
    """A version in a list of bases."""
    manifest = version.manifest
    return (
        str(version),
        short_digest(version.digest),
        ", ".join(version.aliases),
        ", ".join(version.tags),
        manifest.model.id,
        manifest.dataset.id,
        ", ".join(group.name for group in manifest.groups),
        f"{version.created:%Y-%m-%d %H:%M}",
    )


def group_rows(manifest: BasisManifest) -> list[Row]:
    """The groups of a basis."""
    return [
        (
            group.name,
            str(len(group.layers)),
            f"{group.d_out} x {group.d_in}",
            f"{group.rank_out} x {group.rank_in}",
            str(group.gradients),
            str(group.held_out),
        )
        for group in manifest.groups
    ]


def report_rows(report: BasisReport) -> list[Row]:
    """How good a basis is: shares of held-out energy in the largest entries."""
    return [_report_row(group) for group in report.groups]


def _report_row(group: GroupReport) -> Row:
    return (
        group.name,
        f"{group.density:.2%}",
        energy_text(group.basis),
        energy_text(group.original),
        share_text(group.frozen_support),
        "-" if group.basis is None else f"{group.basis.rows:.0f}",
        "-" if group.basis is None else f"{group.basis.columns:.0f}",
    )


def rank_rows(report: BasisReport) -> list[Row]:
    """How many leading columns of U and V hold a share of the fitted gradients' energy."""
    return [
        (group.name, str(group.held_out), _ranks(group.spectrum_in), _ranks(group.spectrum_out))
        for group in report.groups
    ]


def _ranks(spectrum: Spectrum) -> str:
    return f"{spectrum.rank_50}/{spectrum.rank_90}/{spectrum.rank_99}"


def block_rows(report: BasisReport) -> list[Row]:
    """The energy in leading blocks."""
    return [
        (group.name, f"{block.rows} x {block.columns}", share_text(block.energy))
        for group in report.groups
        for block in group.blocks
    ]
