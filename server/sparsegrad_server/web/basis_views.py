"""What the page of a basis says of it, worked out from its manifest and its report."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sparsegrad_shared.bases import BasisGroup, BasisManifest, BasisVersion
from sparsegrad_shared.report import BasisReport, GroupReport, Spectrum

from .words import number, plural

_LISTED = 3  # groups that a list names one by one
_CLASSIFIER = "ForSequenceClassification"  # how the architectures of classifiers end


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
        return shape_of(self.about)

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


def shape_of(group: BasisGroup) -> str:
    """Rows by columns of a group's weights."""
    return f"{number(group.d_out)} \N{MULTIPLICATION SIGN} {number(group.d_in)}"


def shapes_of(manifest: BasisManifest) -> str:
    """A basis's groups with their shapes, or, of many, how many there are of each."""
    groups = manifest.groups
    if len(groups) <= _LISTED:
        return ", ".join(f"{group.name} {shape_of(group)}" for group in groups)
    shapes = {shape_of(group) for group in groups}
    all_alike = next(iter(shapes)) if len(shapes) == 1 else plural(len(shapes), "shape")
    return f"{plural(len(groups), 'group')} of {all_alike}"


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
    model = basis.manifest.model
    label = " --label-column label" if model.architecture.endswith(_CLASSIFIER) else ""
    return Snippets(
        python=(
            "from sparsegrad_client import (\n"
            "    SparseGradConfig,\n"
            "    build_optimizer,\n"
            "    fetch_basis,\n"
            "    sparsify,\n"
            ")\n\n"
            f'basis = fetch_basis("{basis.name}@{basis.version}")\n'
            "config = SparseGradConfig(density=0.01)\n"
            "model = sparsify(model, basis, config)\n"
            "optimizer = build_optimizer(model, lr=1e-3, head_lr=5e-4)"
        ),
        train=(
            "sparsegrad-client train \\\n"
            f"  --model {shlex.quote(model.id)} \\\n"
            f"  --basis {basis.name}@{basis.version} \\\n"
            f"  --dataset train.tsv{label} --output adapter"
        ),
        server=server_snippet(server),
    )


def server_snippet(server: str) -> str:
    """What the client has to know of the server at an address, and of who asks."""
    return f"export SPARSEGRAD_SERVER={shlex.quote(server)}\nexport SPARSEGRAD_TOKEN=sg_…"
