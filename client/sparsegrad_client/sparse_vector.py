"""Sparse vectors that grow: the accumulated change of a layer, and the moments of its entries.

Layout::

    indices  n, int64   flat positions in a matrix of r_out × r_in (row-major), rising, unique
    values   n          one value each

Two classes hold one: `SparseVector` as it is, and `DenseVector` in full, where in time most
entries are added to: growing a long sparse vector costs more than the step that it grows by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch


@dataclass(frozen=True, eq=False)
class SparseEntries:
    """A sparse vector as it stands, outside of any module."""

    indices: Int64[Tensor, " n"]
    values: Float[Tensor, " n"]

    def __len__(self) -> int:
        """How many entries there are."""
        return self.indices.numel()

    def plus(self, other: SparseEntries) -> SparseEntries:
        """The sum, over the entries of both."""
        union = unite(self.indices, other.indices)
        values = union.spread(self.values).clone()
        values[union.new_at] += other.values.to(values.dtype)
        return SparseEntries(union.indices, values)


@dataclass(frozen=True)
class Union:
    """Two sorted index vectors as one, and where each came to stand.

    Args:
        indices: the union, sorted.
        old_at: where the entries of the first stand; None when it is the union already.
        new_at: where the entries of the second stand.
    """

    indices: Int64[Tensor, " n"]
    old_at: Int64[Tensor, " m"] | None
    new_at: Int64[Tensor, " k"]

    def spread(self, values: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
        """The values of the first vector's entries, at their new places; zero elsewhere."""
        if self.old_at is None:
            return values
        spread = values.new_zeros(self.indices.numel())
        spread[self.old_at] = values
        return spread


def unite(old: Int64[Tensor, " m"], new: Int64[Tensor, " k"]) -> Union:
    """The union of two sorted, unique index vectors, without sorting them again."""
    if torch.equal(old, new):  # a support that does not move: every step, the same entries
        return Union(old, None, torch.arange(new.numel(), device=new.device))
    positions = torch.searchsorted(old, new)
    # One more place at the end, which no index equals, so that every position can be looked at.
    absent = nn.functional.pad(old, (0, 1), value=-1)[positions] != new
    added = new[absent]
    if added.numel() == 0:
        return Union(old, None, positions)
    # Every old entry moves up by the added ones before it.
    old_at = torch.searchsorted(added, old)
    old_at += torch.arange(old.numel(), device=old.device)
    added_at = positions[absent] + torch.arange(added.numel(), device=old.device)
    indices = old.new_empty(old.numel() + added.numel())
    indices[old_at], indices[added_at] = old, added
    return Union(indices, old_at, torch.searchsorted(indices, new))


class SparseVector(nn.Module):
    """A sparse vector of a fixed length, with the entries that were ever added to.

    It is a module so that it moves, copies and saves with the layer that owns it.

    Args:
        size: length of the vector; indices are below it.
        like: a tensor whose device and floating-point type the values take.
    """

    indices: Int64[Tensor, " n"]
    values: Float[Tensor, " n"]

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__()
        self.size = size
        indices = torch.empty(0, dtype=torch.int64, device=like.device)
        self.register_buffer("indices", indices)
        self.register_buffer("values", torch.empty(0, dtype=like.dtype, device=like.device))

    def __len__(self) -> int:
        """How many entries were ever added to."""
        return self.indices.numel()

    def __bool__(self) -> bool:
        # A module is true whatever its length.
        return True

    @property
    def entries(self) -> SparseEntries:
        """The vector's entries as they stand."""
        return SparseEntries(self.indices, self.values)

    def add_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add `values` at sorted, unique `indices`."""
        union = unite(self.indices, indices)
        self.indices, self.values = union.indices, union.spread(self.values)
        self.values[union.new_at] += values.to(self.values.dtype)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: object, **kwargs: object
    ) -> None:
        if not prefix:  # loaded by itself; for others, the layer that owns them fills in
            fill_in(state_dict, prefix)
        # The saved vector may have any number of entries: take its size before it is copied in.
        indices = state_dict.get(f"{prefix}indices")
        values = state_dict.get(f"{prefix}values")
        if indices is not None and values is not None:
            check_entries(indices, values, self.size, where=prefix.rstrip("."))
            self.indices = self.indices.new_empty(indices.shape)
            self.values = self.values.new_empty(values.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class DenseVector(nn.Module):
    """A `SparseVector` to all around it, held in full: an addition costs the entries it adds to.

    Args:
        size: length of the vector; indices are below it.
        like: a tensor whose device and floating-point type the values take.
    """

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__()
        self.size = size
        # No buffers: `DistributedDataParallel` would send them all before every forward pass.
        self._values = like.new_zeros(size)
        self._added = torch.zeros(size, dtype=torch.bool, device=like.device)

    def __len__(self) -> int:
        """How many entries were ever added to."""
        return int(self._added.sum())

    def __bool__(self) -> bool:
        # A module is true whatever its length.
        return True

    @property
    def entries(self) -> SparseEntries:
        """The vector's entries as they stand; a copy."""
        indices = self._added.nonzero().flatten()
        return SparseEntries(indices, self._values[indices])

    # `torch.distributed.checkpoint` looks up what a state dict names.

    @property
    def indices(self) -> Int64[Tensor, " n"]:
        """Those of `entries`."""
        return self.entries.indices

    @property
    def values(self) -> Float[Tensor, " n"]:
        """Those of `entries`."""
        return self.entries.values

    def add_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add `values` at sorted, unique `indices`."""
        self._values[indices] += values.to(self._values.dtype)
        self._added[indices] = True

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DenseVector:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._values, self._added = fn(self._values), fn(self._added)
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        entries = self.entries
        destination[f"{prefix}indices"] = entries.indices
        destination[f"{prefix}values"] = entries.values

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: object, **kwargs: object
    ) -> None:
        saved = SparseVector(self.size, like=self._values)
        saved._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if f"{prefix}indices" not in state_dict:  # of another part of the model: missed already
            return
        self._values.zero_()
        self._added.zero_()
        self.add_(saved.indices, saved.values)


def fill_in(state_dict: dict[str, Any], prefix: str) -> None:
    """Put an empty vector into what is loaded, where there is none of it at `prefix`.

    Tools that write shared memory once (Accelerate) take empty tensors for shared ones, and leave
    them out of a checkpoint.
    """
    names = f"{prefix}indices", f"{prefix}values"
    saved = [state_dict[name] for name in names if name in state_dict]
    if len(saved) < len(names) and not any(tensor.numel() for tensor in saved):
        state_dict |= dict(zip(names, (torch.empty(0).long(), torch.empty(0)), strict=True))


def pack_indices(indices: Int64[Tensor, " n"], size: int) -> Int[Tensor, " n"]:
    """Positions in a vector of `size`, to be stored: int32, or int64 where that is not enough."""
    return indices.int() if size - 1 <= torch.iinfo(torch.int32).max else indices


def check_entries(indices: Tensor, values: Tensor, size: int, *, where: str) -> None:
    """Hold indices and values from outside to the layout above.

    Raises:
        ShapeMismatch: when they are not two vectors of one length, integers and floats.
        InvalidInput: when an index is out of range, out of order or there twice, or a value is
            not finite.
    """
    if indices.ndim != 1 or indices.shape != values.shape:
        raise ShapeMismatch(
            f"{where}: expected as many indices as values in two vectors, "
            f"got shapes {tuple(indices.shape)} and {tuple(values.shape)}"
        )
    if indices.dtype not in (torch.int32, torch.int64) or not values.is_floating_point():
        raise ShapeMismatch(
            f"{where}: expected int32 or int64 indices and floating-point values, "
            f"got {indices.dtype} and {values.dtype}"
        )
    if indices.numel() == 0:
        return
    if int(indices[0]) < 0 or int(indices.max()) >= size:
        raise InvalidInput(f"{where}: expected indices from 0 to {size - 1}")
    if not bool((indices[1:] > indices[:-1]).all()):
        raise InvalidInput(f"{where}: expected rising indices, none twice")
    if not bool(values.isfinite().all()):
        raise InvalidInput(f"{where}: expected finite values, got NaN or infinity")
