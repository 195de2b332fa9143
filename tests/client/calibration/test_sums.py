"""Sums over gradients, held to the sums that the obvious way gives and to what the server takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load
from torch import Tensor

from sparsegrad_client.calibration.sums import GramSums
from sparsegrad_server.ingest.check import check_gradient
from sparsegrad_shared.calibrations import GroupSpec, Normalization
from sparsegrad_shared.framing import Frame

CPU = torch.device("cpu")


def _loaded(frame: Frame) -> dict[str, Tensor]:
    return load(b"".join(bytes(piece) for piece in frame))


def _gradients(count: int, d_out: int, d_in: int, seed: int, scale: float = 1.0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [
        torch.randn(d_out, d_in, generator=random, dtype=torch.float64) * scale
        for _ in range(count)
    ]


@given(
    count=st.integers(1, 5),
    d_out=st.integers(1, 6),
    d_in=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    exponent=st.integers(-60, 60),
    normalize=st.sampled_from(["none", "frobenius"]),
)
def test_sums_are_the_gram_matrices_of_the_gradients(
    count: int, d_out: int, d_in: int, seed: int, exponent: int, normalize: Normalization
) -> None:
    gradients = _gradients(count, d_out, d_in, seed, 10.0**exponent)
    sums = GramSums(d_out, d_in, CPU, normalize)
    for G in gradients:
        sums.add(G)
    if normalize == "frobenius":
        gradients = [G / G.norm() for G in gradients]
    sent = _loaded(sums.frame())
    expected = {
        "A_in": sum(G.t() @ G for G in gradients),
        "A_out": sum(G @ G.t() for G in gradients),
    }
    for name, matrix in expected.items():
        assert isinstance(matrix, Tensor)
        largest = float(matrix.abs().max())
        torch.testing.assert_close(sent[name], matrix, rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("normalize", ["none", "frobenius"])
def test_the_server_takes_sums_of_every_type_with_zeros_among_them(
    dtype: torch.dtype, normalize: Normalization
) -> None:
    sums = GramSums(4, 3, CPU, normalize)
    for G in _gradients(3, 4, 3, seed=0):
        sums.add(G.to(dtype))
    sums.add(torch.zeros(4, 3, dtype=dtype))
    sums.add_zero()
    frame = sums.frame()
    assert {raw.dtype for raw in frame.tensors.values()} == {"float32"}
    group = GroupSpec(
        name="up", layers=("up",), d_out=4, d_in=3, dtype="float32", gradients=1, held_out=0
    )
    body = b"".join(bytes(piece) for piece in frame)
    checked = check_gradient(memoryview(body), group, 0, normalize)
    assert (checked.form, checked.count, checked.zero_count) == ("sums", 5, 2)


def test_gradients_too_small_for_the_square_of_their_type_do_not_vanish() -> None:
    sums = GramSums(2, 2, CPU)
    sums.add(torch.full((2, 2), 1e-30))
    sent = _loaded(sums.frame())
    torch.testing.assert_close(
        sent["A_in"], torch.full((2, 2), 2e-60, dtype=torch.float64), rtol=1e-6, atol=0
    )
