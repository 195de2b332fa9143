"""Reports of bases made by hand: every figure in them is of one small decaying gradient."""

from __future__ import annotations

import numpy as np

from sparsegrad_shared.report import (
    BasisReport,
    BlockEnergy,
    GradientSample,
    GroupReport,
    SampledMatrix,
    Spectrum,
    TopEntries,
    bin_edges,
    level_of_share,
)


def sampled_matrix(seed: int, rows: int, columns: int, decay: float = 0.0) -> SampledMatrix:
    """The picture of a random matrix whose entries fall along both axes."""
    values = np.random.default_rng(seed).standard_normal((rows, columns)) ** 2
    values *= np.multiply.outer(
        np.exp(-decay * np.linspace(0, 8, rows)), np.exp(-decay * np.linspace(0, 8, columns))
    )
    values /= values.sum()
    top = values >= np.quantile(values, 0.99)
    down, across = bin_edges(rows)[:-1], bin_edges(columns)[:-1]
    shares = np.add.reduceat(np.add.reduceat(values, down, axis=0), across, axis=1)
    return SampledMatrix(
        rows=rows,
        columns=columns,
        energy=1.0,
        levels=bytes(level_of_share(share) for share in shares.flat),
        top=TopEntries(
            energy=float(values[top].sum()),
            rows=float(top.any(axis=1).sum()),
            columns=float(top.any(axis=0).sum()),
        ),
        top_by_rows=tuple(np.add.reduceat(top.sum(axis=1), down).tolist()),
        top_by_columns=tuple(np.add.reduceat(top.sum(axis=0), across).tolist()),
    )


def spectrum(size: int, decay: float) -> Spectrum:
    """The spectrum of eigenvalues that fall by a power of their rank."""
    values = np.arange(1, size + 1.0) ** -decay
    shares = np.cumsum(values) / values.sum()
    ranks = np.unique(np.geomspace(1, size, min(size, 128)).round().astype(int))
    rank_50, rank_90, rank_99 = (int((shares >= s).argmax()) + 1 for s in (0.5, 0.9, 0.99))
    return Spectrum(
        ranks=tuple(ranks.tolist()),
        eigenvalues=tuple(values[ranks - 1].tolist()),
        energy=tuple(np.minimum(shares[ranks - 1], 1.0).tolist()),
        rank_50=rank_50,
        rank_90=rank_90,
        rank_99=rank_99,
    )


def group_report(
    name: str = "up",
    rows: int = 96,
    columns: int = 72,
    *,
    judged: bool = True,
    sampled: bool = True,
) -> GroupReport:
    """A group's report; not judged where nothing was held out, not sampled in older reports."""
    sample = GradientSample(
        original=sampled_matrix(len(name), rows, columns, decay=0.1),
        basis=sampled_matrix(len(name), rows, columns, decay=1.0),
    )
    return GroupReport(
        name=name,
        held_out=3 if judged else 0,
        density=0.01,
        basis=sample.basis.top if judged else None,
        original=sample.original.top if judged else None,
        blocks=(BlockEnergy(rows=8, columns=4, energy=0.3),) if judged else (),
        frozen_support=0.5 if judged else None,
        spectrum_in=spectrum(columns, 1.5),
        spectrum_out=spectrum(rows, 1.2),
        sample=sample if judged and sampled else None,
    )


def basis_report(*groups: GroupReport) -> BasisReport:
    """The report of a basis of these groups."""
    return BasisReport(groups=groups)
