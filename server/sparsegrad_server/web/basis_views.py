"""What the page of a basis says of it, worked out from its manifest and its report."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sparsegrad_shared.bases import BasisGroup, BasisManifest, BasisVersion
from sparsegrad_shared.report import BasisReport, GroupReport, Spectrum


@dataclass(frozen=True)
class GroupView:
    """A group: what it is, and how good its basis is."""

    about: BasisGroup
    report: GroupReport

    @property
    def name(self) -> str:
        """The group's name."""
        return self.about.name

    @property
    def shape(self) -> str:
        """Rows by columns of a weight."""
        return f"{self.about.d_out} \N{MULTIPLICATION SIGN} {self.about.d_in}"

    @property
    def gain(self) -> float | None:
        """How many times the energy of the original space the largest entries hold in the basis."""
        basis, original = self.report.basis, self.report.original
        if basis is None or original is None or original.energy == 0:
            return None
        return basis.energy / original.energy

    @property
    def sides(self) -> tuple[tuple[str, int, int, Spectrum], ...]:
        """Each side of the weight: its name, its extent, the columns kept, its spectrum."""
        about, report = self.about, self.report
        return (
            ("Input", about.d_in, about.rank_in, report.spectrum_in),
            ("Output", about.d_out, about.rank_out, report.spectrum_out),
        )

    @property
    def drawn(self) -> dict[str, Any]:
        """What the pictures of the group are drawn from."""
        return self.report.model_dump(
            mode="json", include={"density", "spectrum_in", "spectrum_out", "sample"}
        )


@dataclass(frozen=True)
class Summary:
    """A basis in a few numbers.

    Attributes:
        bytes: of all its files.
        gradients: that it was fitted on.
        density: the share of entries that count as the largest.
        basis: the mean share of energy that they hold in the basis; None when not judged.
        original: the same in the original space.
    """

    bytes: int
    gradients: int
    density: float
    basis: float | None
    original: float | None


@dataclass(frozen=True)
class Snippets:
    """How to use a basis, to copy."""

    python: str
    train: str
    server: str


def size_of(manifest: BasisManifest) -> int:
    """Bytes of a basis's files."""
    return sum(entry.bytes for entry in manifest.files())


def summary_of(manifest: BasisManifest, report: BasisReport) -> Summary:
    """A basis in a few numbers."""
    judged = [group for group in report.groups if group.basis and group.original]
    return Summary(
        bytes=size_of(manifest),
        gradients=sum(group.gradients for group in manifest.groups),
        density=report.groups[0].density if report.groups else 0.0,
        basis=fmean(group.basis.energy for group in judged if group.basis) if judged else None,
        original=fmean(group.original.energy for group in judged if group.original)
        if judged
        else None,
    )


def groups_of(manifest: BasisManifest, report: BasisReport) -> list[GroupView]:
    """All groups, as the manifest has them."""
    judged = {group.name: group for group in report.groups}
    return [GroupView(group, judged[group.name]) for group in manifest.groups]


def group_of(manifest: BasisManifest, report: BasisReport, name: str | None) -> GroupView:
    """The group of that name, or, when none is asked for, the first.

    Raises:
        UnknownGroup: when there is none of that name; names those that there are.
    """
    groups = groups_of(manifest, report)
    if name is None:
        return groups[0]
    wanted = manifest.group(name)
    return next(group for group in groups if group.about is wanted)


def snippets_of(basis: BasisVersion, server: str) -> Snippets:
    """How to use a basis with its own name, on the server at that address."""
    model = shlex.quote(basis.manifest.model.id)
    return Snippets(
        python=(
            "from sparsegrad_client import (\n"
            "    SparseGradConfig, build_optimizer, fetch_basis, sparsify,\n"
            ")\n\n"
            f'basis = fetch_basis("{basis.name}@{basis.version}")\n'
            "model = sparsify(model, basis, SparseGradConfig(density=0.01))\n"
            "optimizer = build_optimizer(model, lr=1e-3, head_lr=5e-4)"
        ),
        train=(
            f"sparsegrad-client train --model {model} \\\n"
            f"  --basis {basis.name}@{basis.version} \\\n"
            "  --dataset train.tsv --output adapter"
        ),
        server=f"export SPARSEGRAD_SERVER={shlex.quote(server)}\nexport SPARSEGRAD_TOKEN=sg_…",
    )
