"""The report of a basis, with pictures: the paper's figures 1 and 3 on the user's own model.

Importing this imports matplotlib.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sparsegrad_shared.bases import BasisManifest, BasisVersion
from sparsegrad_shared.report import BasisReport, GradientSample, GroupReport

from . import gallery
from .figures import energy_by_group, energy_map, spectra, touched_entries
from .page import Numbers, Picture, Report, Section
from .tables import (
    BLOCK_COLUMNS,
    GROUP_COLUMNS,
    RANK_COLUMNS,
    REPORT_COLUMNS,
    block_rows,
    group_rows,
    rank_rows,
    report_rows,
    short_digest,
)


def write_basis_report(
    version: BasisVersion,
    report: BasisReport,
    folder: Path,
    progress: gallery.Progress | None = None,
) -> Path:
    """Write a basis's report as a page and PNGs.

    Args:
        version: the basis.
        report: what it says of itself.
        folder: a new or empty folder.
        progress: told (phase, pictures drawn, in all).

    Returns:
        The page.

    Raises:
        InvalidInput: when `folder` holds something.
        OSError: when the disk refuses.
    """
    return gallery.write(basis_report(version, report), folder, progress=progress)


def basis_report(version: BasisVersion, report: BasisReport) -> Report:
    """What the report of a basis says and shows."""
    manifest = version.manifest
    return Report(
        title=f"Basis {version}",
        facts=_facts(version, manifest),
        sections=[
            _overview(manifest, report),
            *(_section(manifest, group) for group in report.groups),
        ],
    )


def _facts(version: BasisVersion, manifest: BasisManifest) -> dict[str, str]:
    return {
        "model": f"{manifest.model.id} ({manifest.model.architecture})",
        "data set": manifest.dataset.id,
        "digest": short_digest(version.digest),
        "created": f"{version.created:%Y-%m-%d %H:%M %Z}",
    }


def _overview(manifest: BasisManifest, report: BasisReport) -> Section:
    parts: list[str | Picture | Numbers] = [
        "A basis is good when few entries of a gradient, seen in it, hold most of the energy. All "
        "figures are of gradients that the basis was not fitted on."
    ]
    if any(group.basis is not None for group in report.groups):
        parts.append(
            Picture(
                "energy-by-group",
                "Energy in the largest entries of held-out gradients: in the original space and "
                "in the basis, for each group.",
                partial(energy_by_group, report.groups),
            )
        )
    else:
        parts.append(
            "This basis was judged on no gradients, since none were held out: calibrate with "
            "--held-out to know how good it is."
        )
    parts.append(Numbers("Energy in the largest entries", REPORT_COLUMNS, report_rows(report)))
    parts.append(Numbers("Ranks", RANK_COLUMNS, rank_rows(report)))
    if rows := block_rows(report):
        parts.append(Numbers("Energy in leading blocks", BLOCK_COLUMNS, rows))
    parts.append(Numbers("Groups", GROUP_COLUMNS, group_rows(manifest)))
    return Section("All groups", parts)


def _section(manifest: BasisManifest, group: GroupReport) -> Section:
    found = manifest.group(group.name)
    parts: list[str | Picture | Numbers] = [
        f"{len(found.layers)} layers of {found.d_out:,} outputs and {found.d_in:,} inputs, "
        f"{found.gradients:,} gradients."
    ]
    if group.sample is not None:
        parts += _sample_pictures(group, group.sample)
    elif group.held_out:
        parts.append(
            "There is no picture of a gradient: the server that made this basis kept none. "
            "Calibrate again to have one."
        )
    parts.append(
        Picture(
            f"spectra-{group.name}",
            f"Spectra of {group.name}: the eigenvalues of its two Gram matrices, and the share of "
            "the energy that the leading columns hold.",
            partial(spectra, group),
        )
    )
    return Section(group.name, parts)


def _sample_pictures(group: GroupReport, sample: GradientSample) -> list[Picture]:
    return [
        Picture(
            f"energy-map-{group.name}",
            f"A held-out gradient of {group.name} before and after the change of basis: where its "
            "energy lies. The paper's figure 1.",
            partial(energy_map, sample, group.density),
        ),
        Picture(
            f"touched-{group.name}",
            "Rows and columns of the same gradient that its largest entries touch. The paper's "
            "figure 3, left.",
            partial(touched_entries, sample, group.density),
        ),
    ]
