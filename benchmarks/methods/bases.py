"""Bases that no gradient is needed for: unit vectors, and columns drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sparsegrad_client import Basis
from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.groups import LayerGroup

Columns = Callable[[LayerGroup, int], Tensor]


def unit_basis(groups: Sequence[LayerGroup]) -> Basis:
    """Unit vectors for every group: the original space."""
    return _basis(groups, lambda group, rows: torch.eye(rows))


def random_basis(groups: Sequence[LayerGroup], rank: int | None = None) -> Basis:
    """Orthonormal columns drawn at random, for every group; `rank` of them, or all."""

    def columns(group: LayerGroup, rows: int) -> Tensor:
        drawn = torch.randn(rows, min(rank or rows, rows), device=group.layers[0].weight.device)
        return torch.linalg.qr(drawn).Q.contiguous()

    return _basis(groups, columns)


def _basis(groups: Sequence[LayerGroup], columns: Columns) -> Basis:
    return Basis("sha256:" + "0" * 64, {group.name: _group(group, columns) for group in groups})


def _group(group: LayerGroup, columns: Columns) -> GroupBasis:
    U, V = columns(group, group.d_in), columns(group, group.d_out)
    # Falling as those of real gradients do, so that blocks get the shapes that they have there.
    spectra = (torch.arange(1, M.shape[1] + 1, dtype=torch.float64) ** -1.0 for M in (U, V))
    return GroupBasis(group.name, tuple(layer.path for layer in group.layers), U, V, *spectra)
