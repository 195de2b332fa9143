"""What masked Adam knows of a layer's entries, in the optimizer's state of its coordinates.

Sparsely, for entries that were ever kept::

    step        int       steps so far
    indices     n, int64  positions in W̃ that were ever kept, rising
    exp_avg     n         their first moments
    exp_avg_sq  n         their second moments

(Under FSDP2 a rank holds those in its rows of the block.)

With error feedback a step selects from its gradient plus what the steps before it have left of
theirs. In time most entries are kept by some step, so moments are held in full::

    step        int                 steps so far
    exp_avg     n_rows × n_columns  first moments, zero where no step has kept the entry
    exp_avg_sq  n_rows × n_columns  second moments, likewise
    remainder   n_rows × n_columns  what steps have left of their gradients
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor

from ..layers import SparseGradLinear
from ..sharding import part_here
from ..sparse_vector import unite

State = dict[str, Any]


class Moments(ABC):
    """How they are held; the tensors themselves are the optimizer's, to save and to move."""

    @abstractmethod
    def begin(self, state: State, layer: SparseGradLinear) -> None:
        """Fill an empty state."""

    @abstractmethod
    def add(
        self, state: State, gradient: Float[Tensor, "n_rows n_columns"]
    ) -> Float[Tensor, "n_rows n_columns"]:
        """What a step selects from, now that it has this gradient."""

    @abstractmethod
    def keep(
        self, state: State, layer: SparseGradLinear, indices: Int64[Tensor, " k"]
    ) -> Int64[Tensor, " k"]:
        """Have a step keep entries of the coordinates; where their moments are, flat."""


class SparseMoments(Moments):
    """Of the entries that were ever kept."""

    def begin(self, state: State, layer: SparseGradLinear) -> None:
        """Fill an empty state: nothing was kept yet."""
        empty = part_here(layer.coordinates).new_empty(0)
        state.update(step=0, indices=empty.long(), exp_avg=empty, exp_avg_sq=empty.clone())

    def add(
        self, state: State, gradient: Float[Tensor, "n_rows n_columns"]
    ) -> Float[Tensor, "n_rows n_columns"]:
        """The gradient itself."""
        return gradient

    def keep(
        self, state: State, layer: SparseGradLinear, indices: Int64[Tensor, " k"]
    ) -> Int64[Tensor, " k"]:
        """Give moments to those that have none."""
        union = unite(state["indices"], layer.positions_of(indices))
        exp_avg, exp_avg_sq = union.spread(state["exp_avg"]), union.spread(state["exp_avg_sq"])
        state.update(indices=union.indices, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
        return union.new_at


class FullMoments(Moments):
    """Of all entries, and what steps have left of their gradients."""

    def begin(self, state: State, layer: SparseGradLinear) -> None:
        """Fill an empty state with zeros."""
        state["step"] = 0
        for name in ("exp_avg", "exp_avg_sq", "remainder"):
            state[name] = part_here(layer.coordinates).new_zeros(layer.shape)

    def add(
        self, state: State, gradient: Float[Tensor, "n_rows n_columns"]
    ) -> Float[Tensor, "n_rows n_columns"]:
        """The remainder, to which the gradient is added."""
        remainder: Tensor = state["remainder"]
        return remainder.add_(gradient)

    def keep(
        self, state: State, layer: SparseGradLinear, indices: Int64[Tensor, " k"]
    ) -> Int64[Tensor, " k"]:
        """Leave nothing of them in the remainder."""
        state["remainder"].view(-1)[indices] = 0
        return indices


_SPARSE, _FULL = SparseMoments(), FullMoments()


def moments_of(layer: SparseGradLinear) -> Moments:
    """How a layer's are held."""
    return _FULL if layer.feeds_back else _SPARSE


def make_sparse(state: State) -> None:
    """Hold moments sparsely that were held in full: the layer has moved to a block."""
    del state["remainder"]
    exp_avg, exp_avg_sq = state["exp_avg"].view(-1), state["exp_avg_sq"].view(-1)
    indices = exp_avg_sq.nonzero().flatten()
    state.update(indices=indices, exp_avg=exp_avg[indices], exp_avg_sq=exp_avg_sq[indices])


def are_full(state: State) -> bool:
    """Whether a state was filled with error feedback."""
    return "remainder" in state


def touched(state: State) -> int:
    """How many entries have moments, however they are held."""
    kept = state["exp_avg_sq"].count_nonzero() if are_full(state) else state["indices"].numel()
    return int(kept)
