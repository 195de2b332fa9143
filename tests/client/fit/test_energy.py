"""The energy of gradients against its definition, and against what the server reports."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sparse_models import orthonormal
from torch import Tensor

from sparsegrad_client.fit import Energy
from sparsegrad_client.fit.energy import energy_of, energy_reference, total_of
from sparsegrad_server.hosvd.report import HeldOutReport
from sparsegrad_shared.report import Spectrum

EXTENTS = st.integers(1, 12)


def _gradient(d_out: int, d_in: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(d_out, d_in, generator=generator, dtype=torch.float64)


def _close(ours: Energy, expected: Energy, scale: float = 1.0) -> None:
    for name in ("top", "original", "captured", "total"):
        wanted = getattr(expected, name) * scale**2
        assert getattr(ours, name) == pytest.approx(wanted, rel=1e-10, abs=1e-12 * wanted), name


@given(EXTENTS, EXTENTS, st.data(), st.integers(0, 2**16), st.floats(-25, 25))
def test_energies_are_those_of_the_definition_however_large_the_gradient_is(
    d_out: int, d_in: int, data: st.DataObject, seed: int, exponent: float
) -> None:
    r_out, r_in = data.draw(st.integers(1, d_out)), data.draw(st.integers(1, d_in))
    k = data.draw(st.integers(1, d_out * d_in))
    G = _gradient(d_out, d_in, seed)
    U, V = orthonormal(d_in, r_in, seed + 1), orthonormal(d_out, r_out, seed + 2)
    scale = 10.0**exponent
    energy = energy_of(G * scale, V.T @ (G * scale) @ U, k)
    assert energy is not None
    _close(energy, energy_reference(G, U, V, k), scale)


@given(EXTENTS, EXTENTS, st.integers(0, 2**16))
def test_a_full_basis_captures_everything_and_all_entries_hold_it(
    d_out: int, d_in: int, seed: int
) -> None:
    G = _gradient(d_out, d_in, seed)
    U, V = orthonormal(d_in, d_in, seed), orthonormal(d_out, d_out, seed)
    energy = energy_of(G, V.T @ G @ U, d_out * d_in)
    assert energy is not None
    shares = (energy.top_share, energy.original_share, energy.captured_share)
    assert shares == pytest.approx((1, 1, 1), rel=1e-12)
    assert max(shares) <= 1


@pytest.mark.parametrize("ranks", [(12, 8), (5, 3)])
def test_shares_are_those_of_the_servers_report(ranks: tuple[int, int]) -> None:
    d_out, d_in, density = 12, 8, 0.05
    U, V = orthonormal(d_in, ranks[1], 1), orthonormal(d_out, ranks[0], 2)
    gradients = [10.0**seed * _gradient(d_out, d_in, seed) for seed in range(3)]
    judged = HeldOutReport(U.numpy(), V.numpy(), density=density)
    for G in gradients:
        judged.add(G.numpy())
    flat = Spectrum(ranks=(1,), eigenvalues=(1,), energy=(1,), rank_50=1, rank_90=1, rank_99=1)
    report = judged.report("up", flat, flat)
    found = [energy_of(G, V.T @ G @ U, round(density * G.numel())) for G in gradients]
    total = total_of(energy for energy in found if energy)
    assert report.basis is not None
    assert report.original is not None
    assert total.top_share == pytest.approx(report.basis.energy, rel=1e-12)
    assert total.original_share == pytest.approx(report.original.energy, rel=1e-12)


@pytest.mark.parametrize("bad", [0.0, torch.nan, torch.inf])
def test_a_gradient_that_is_zero_or_not_finite_says_nothing(bad: float) -> None:
    G = torch.zeros(3, 2)
    G[1, 1] = bad
    assert energy_of(G, G, 1) is None
