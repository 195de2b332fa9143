"""Between the original space and the basis: the mathematics that engines share.

Layouts are those of `sparsegrad_client.layers.base`; g is ∂L/∂y with its leading dimensions
flattened into tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..basis import columns_of

Directions = tuple[Float[Tensor, "d_in n_columns"], Float[Tensor, "d_out n_rows"]]


def tokens(rows: Float[Tensor, "*batch d"]) -> Float[Tensor, "tokens d"]:
    """All leading dimensions as one; a single vector is one token."""
    return rows.unsqueeze(0).flatten(0, -2)


def gradient_in_basis(
    g: Float[Tensor, "tokens d_out"],
    x: Float[Tensor, "tokens d_in"],
    U: Float[Tensor, "d_in r_in"],
    V: Float[Tensor, "d_out r_out"],
) -> Float[Tensor, "r_out r_in"]:
    """G̃ = Vᵀ gᵀ x U, multiplied in the order that costs least.

    With few tokens that is to rotate them, (gV)ᵀ(xU); with many, to rotate their product,
    Vᵀ(gᵀx)U; in between and for truncated bases, one of the three mixed orders. The choice is
    the matrix chain problem, which `torch.linalg.multi_dot` solves for the shapes at hand.
    """
    product: Tensor = torch.linalg.multi_dot([V.T, g.T, x, U])
    return product


def block_factors(
    S: Float[Tensor, "n_rows n_columns"],
    own: Directions,
    cast: Directions,
) -> tuple[Float[Tensor, "d_in r"], Float[Tensor, "r d_out"]]:
    """ΔWᵀ = U_C Sᵀ V_Rᵀ as two factors, r the smaller side of S; differentiable in S.

    S goes with the longer side, which costs as little as that side is long, once a step, and
    spares the tokens the way through it. So a block costs what LoRA of its shorter side costs.

    Args:
        S: the change of the block W̃[R, C].
        own: U_C and V_R in the type of S, in which they are multiplied.
        cast: the same in the type that the factors are wanted in.
    """
    (U, V), (cast_U, cast_V) = own, cast
    rows, columns = S.shape
    if rows >= columns:
        return cast_U, (V @ S).T.to(cast_V.dtype)
    return (U @ S.T).to(cast_U.dtype), cast_V.T


def fold_entries(
    indices: Int64[Tensor, " k"],
    values: Float[Tensor, " k"],
    U: Float[Tensor, "d_in r_in"],
    V: Float[Tensor, "d_out r_out"],
) -> Float[Tensor, "d_out d_in"]:
    """V ΔW̃ Uᵀ for a sparse ΔW̃, over the rows and columns that it touches.

    The strided sparse-by-dense product of the paper's equations 1 and 2: with R and C the
    touched rows and columns it is V[:, R] ΔW̃[R, C] U[:, C]ᵀ.

    Args:
        indices: flat positions in the r_out × r_in matrix ΔW̃.
        values: its entries there.
        U: basis of the input side.
        V: basis of the output side.
    """
    rows, columns, block = touched_block(indices, values, (V.shape[1], U.shape[1]))
    product: Tensor = torch.linalg.multi_dot([columns_of(V, rows), block, columns_of(U, columns).T])
    return product


def touched_block(
    indices: Int64[Tensor, " k"], values: Float[Tensor, " k"], shape: tuple[int, int]
) -> tuple[Int64[Tensor, " rows"], Int64[Tensor, " columns"], Float[Tensor, "rows columns"]]:
    """The rows R and columns C that sparse entries touch, and the dense block ΔW̃[R, C].

    Args:
        indices: flat positions in the matrix.
        values: its entries there.
        shape: the matrix's, r_out × r_in.
    """
    n_rows, n_columns = shape
    rows, row_at = _touched(indices // n_columns, n_rows)
    columns, column_at = _touched(indices % n_columns, n_columns)
    block = values.new_zeros(rows.numel(), columns.numel())
    block[row_at, column_at] = values
    return rows, columns, block


def _touched(
    places: Int64[Tensor, " k"], size: int
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " k"]]:
    """The different places below `size`, rising, and where each of `places` is among them.

    What `torch.unique` gives, which sorts: a mark for every place is up to ten times faster.
    """
    marks = torch.zeros(size, dtype=torch.bool, device=places.device)
    marks[places] = True
    return marks.nonzero().flatten(), (marks.cumsum(0) - 1)[places]
