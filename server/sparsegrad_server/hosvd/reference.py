"""The HOSVD by its definition, with tensorly: the oracle that the streamed one is held to.

It holds all gradients at once and takes the SVD of the two unfoldings, the way of the paper's
section 3.2. It needs tensorly and scipy, which nothing else here does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorly
from numpy.typing import NDArray
from tensorly.tenalg.svd import svd_interface

from sparsegrad_shared.errors import NoGradients

from .arrays import Float64Array, FloatArray
from .basis import Basis
from .eigen import with_fixed_signs


def reference_hosvd(gradients: Sequence[NDArray[Any]], *, rank: int | None = None) -> Basis:
    """The first two factor matrices of the HOSVD of the D_out × D_in × N tensor.

    Computed in the gradients' own precision. With fewer gradients than directions the
    unfoldings have no more singular vectors than columns, so U and V are then truncated.

    Args:
        gradients: N matrices, D_out × D_in, float32 or float64.
        rank: leading columns to keep; all when None.

    Raises:
        NoGradients: there are none.
    """
    if not gradients:
        raise NoGradients("expected at least one gradient, got none")
    tensor = tensorly.tensor(np.stack(gradients, axis=2))
    V, values_out = _factor(tensorly.unfold(tensor, 0), rank)
    U, values_in = _factor(tensorly.unfold(tensor, 1), rank)
    energy = float(sum(np.sum(np.square(G, dtype=np.float64)) for G in gradients))
    return Basis(U=U, V=V, eigenvalues_in=values_in, eigenvalues_out=values_out, energy=energy)


def _factor(unfolding: FloatArray, rank: int | None) -> tuple[Float64Array, Float64Array]:
    vectors, singular_values, _ = svd_interface(unfolding, n_eigenvecs=rank, flip_sign=False)
    return (
        with_fixed_signs(np.asarray(vectors, dtype=np.float64)),
        np.square(np.asarray(singular_values, dtype=np.float64)),
    )
