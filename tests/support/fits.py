"""What a `BasisFit` must find: from the gradients of the plain model."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_client.basis import Basis
from sparsegrad_client.fit import Energy
from sparsegrad_client.fit.energy import energy_reference, total_of
from sparsegrad_shared.report import BasisReport, GroupReport, Spectrum, TopEntries


def dense_energies(
    plain: nn.Module, basis: Basis, loss_of: Callable[[nn.Module], Tensor], density: float = 0.01
) -> dict[str, Energy]:
    """Each group's energy, by autograd's own gradients of the plain model's weights."""
    model = copy.deepcopy(plain).requires_grad_(True)
    loss_of(model).backward()
    modules = dict(model.named_modules())
    found = {}
    for name, group in basis.groups.items():
        energies = []
        for layer in group.layers:
            module = modules[layer]
            G = module.weight.grad
            assert isinstance(G, Tensor)
            G = G.T if isinstance(module, Conv1D) else G
            k = max(1, round(density * G.numel()))
            energies.append(energy_reference(G, group.U, group.V, k))
        found[name] = total_of(energies)
    return found


def report_of(basis: Basis, energy: float | None, density: float = 0.01) -> BasisReport:
    """A report that says how good each group was in the calibration."""
    spectrum = Spectrum(
        ranks=(1,), eigenvalues=(1.0,), energy=(1.0,), rank_50=1, rank_90=1, rank_99=1
    )
    top = None if energy is None else TopEntries(energy=energy, rows=1, columns=1)
    return BasisReport(
        groups=tuple(
            GroupReport(
                name=name,
                held_out=1 if top else 0,
                density=density,
                basis=top,
                original=top,
                blocks=(),
                frozen_support=None,
                spectrum_in=spectrum,
                spectrum_out=spectrum,
            )
            for name in basis.groups
        )
    )
