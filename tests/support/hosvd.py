"""Gradients for the tests of the mathematics: falling spectra, as real ones have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsegrad_server.hosvd import GramMatrices
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_shared.calibrations import Normalization


def make_gradients(seed: int, count: int, d_out: int, d_in: int) -> list[Float64Array]:
    """Gradients whose directions fall in weight by 0.7 each."""
    generator = np.random.default_rng(seed)
    left = np.linalg.qr(generator.standard_normal((d_out, d_out))).Q * 0.7 ** np.arange(d_out)
    right = np.linalg.qr(generator.standard_normal((d_in, d_in))).Q * 0.7 ** np.arange(d_in)
    cores = generator.standard_normal((count, d_out, d_in))
    return [left @ core @ right.T for core in cores]


def sum_up(gradients: Sequence[Float64Array], normalize: Normalization = "none") -> GramMatrices:
    """The Gram matrices of some gradients."""
    d_out, d_in = gradients[0].shape
    sums = GramMatrices(d_out, d_in, normalize=normalize)
    for gradient in gradients:
        sums.add_dense(gradient)
    return sums
