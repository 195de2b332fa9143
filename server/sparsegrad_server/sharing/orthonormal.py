"""Whether the columns of a matrix are orthonormal, without forming all their products.

With E = QᵀQ - I and z standard normal, each entry of E z is normal with the norm of its row of E
for a deviation. So a few probes tell how far each column is from being of norm 1 and at right
angles to all others, in 4 D r flops a probe in place of 2 D r², and one pass over the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBES = 16
TOLERANCE = 1e-4  # float32 rounds the columns of a 28,672-wide basis to some 1e-5
PANEL_BYTES = 32 << 20  # of rows turned into float64 at a time


def deviation(matrix: NDArray[Any], *, seed: int = 0, panel_bytes: int = PANEL_BYTES) -> float:
    """The largest norm of a row of QᵀQ - I, estimated; NaN when the matrix is not finite.

    Args:
        matrix: Q, D × r.
        seed: of the probes.
        panel_bytes: of rows in float64 at a time.
    """
    columns = matrix.shape[1]
    probes = np.random.default_rng(seed).standard_normal((columns, PROBES))
    products = -probes
    rows = max(1, panel_bytes // (8 * columns))
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, len(matrix), rows):
            panel = matrix[begin : begin + rows].astype(np.float64)
            products += panel.T @ (panel @ probes)
        return float(np.sqrt(np.square(products).mean(axis=1)).max())


def exact_deviation(matrix: NDArray[Any]) -> float:
    """The reference: the largest norm of a row of QᵀQ - I, from all products."""
    Q = matrix.astype(np.float64)
    return float(np.linalg.norm(Q.T @ Q - np.eye(Q.shape[1]), axis=1).max())
