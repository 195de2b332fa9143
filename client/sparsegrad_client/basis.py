"""Bases as the client holds them: U and V of every group, shared by the group's layers.

Layout (defined here, used everywhere in the client)::

    U                d_in × r_in     orthonormal columns: basis of the input side
    V                d_out × r_out   orthonormal columns: basis of the output side
    eigenvalues_in   r_in            of Σ GᵀG, falling, float64
    eigenvalues_out  r_out           of Σ GGᵀ, falling, float64

A full basis has r_in = d_in and r_out = d_out. Column j of U belongs to eigenvalue j. U and V lie
in memory column by column, since sparse steps and supports pick columns.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch
from sparsegrad_shared.references import DIGEST

from .support import Support


@dataclass(frozen=True, eq=False)
class GroupBasis:
    """The basis that the layers of one group share.

    Args:
        name: the group's name, such as ``intermediate``.
        layers: module paths of the group's layers in the model.
        U: basis of the input side, d_in × r_in.
        V: basis of the output side, d_out × r_out.
        eigenvalues_in: r_in values that belong to the columns of U.
        eigenvalues_out: r_out values that belong to the columns of V.

    Raises:
        InvalidInput: when the group has no layers or names one twice.
        ShapeMismatch: when a tensor has another shape or type than the layout above says.
    """

    name: str
    layers: tuple[str, ...]
    U: Float[Tensor, "d_in r_in"] = field(repr=False)
    V: Float[Tensor, "d_out r_out"] = field(repr=False)
    eigenvalues_in: Float64[Tensor, " r_in"] = field(repr=False)
    eigenvalues_out: Float64[Tensor, " r_out"] = field(repr=False)
    _casts: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )
    _parts: weakref.WeakValueDictionary[tuple[bytes, bytes], GroupBasis] = field(
        default_factory=weakref.WeakValueDictionary, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if not self.layers:
            raise InvalidInput(f"basis group {self.name!r}: expected at least one layer, got none")
        if len(set(self.layers)) != len(self.layers):
            raise InvalidInput(f"basis group {self.name!r} names a layer twice: {self.layers}")
        self._check_side("U", self.U, "eigenvalues_in", self.eigenvalues_in)
        self._check_side("V", self.V, "eigenvalues_out", self.eigenvalues_out)
        object.__setattr__(self, "U", _by_column(self.U))
        object.__setattr__(self, "V", _by_column(self.V))

    def _check_side(self, name: str, basis: Tensor, spectrum: str, eigenvalues: Tensor) -> None:
        where = f"basis group {self.name!r}: {name}"
        if basis.ndim != 2 or not basis.is_floating_point():
            raise ShapeMismatch(
                f"{where}: expected a matrix of floating-point numbers, "
                f"got {basis.dtype} of shape {tuple(basis.shape)}"
            )
        rows, columns = basis.shape
        if not 1 <= columns <= rows:
            raise ShapeMismatch(
                f"{where}: expected at least one and at most as many columns as rows, "
                f"got shape {rows} x {columns}"
            )
        if eigenvalues.shape != (columns,) or eigenvalues.dtype != torch.float64:
            raise ShapeMismatch(
                f"basis group {self.name!r}: {spectrum}: expected {columns} float64 values "
                f"(one a column of {name}), got {eigenvalues.dtype} of shape "
                f"{tuple(eigenvalues.shape)}"
            )

    @property
    def d_in(self) -> int:
        """Inputs of the group's layers."""
        return self.U.shape[0]

    @property
    def r_in(self) -> int:
        """Columns of U."""
        return self.U.shape[1]

    @property
    def d_out(self) -> int:
        """Outputs of the group's layers."""
        return self.V.shape[0]

    @property
    def r_out(self) -> int:
        """Columns of V."""
        return self.V.shape[1]

    @property
    def is_full(self) -> bool:
        """Whether the basis spans both sides whole."""
        return self.r_in == self.d_in and self.r_out == self.d_out

    def on(
        self, device: torch.device, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "d_in r_in"], Float[Tensor, "d_out r_out"]]:
        """U and V on a device in a data type: one copy, whoever asks.

        Returns:
            The pair (U, V). They are shared; do not change them in place.
        """
        key = (device, dtype)
        if key not in self._casts:
            # A copy made in inference mode could never be saved for a backward pass.
            with torch.inference_mode(False):
                self._casts[key] = (self.U.to(device, dtype), self.V.to(device, dtype))
        return self._casts[key]

    def lent(
        self, device: torch.device, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "d_in r_in"], Float[Tensor, "d_out r_out"]]:
        """The same for a moment: what nobody else needs there is not kept."""
        kept = self._casts.get((device, dtype))
        return kept or (self.U.to(device, dtype), self.V.to(device, dtype))

    def part(self, support: Support) -> GroupBasis:
        """The columns of U and V that a support needs, as a basis: U[:, C] and V[:, R].

        Layers with the same support share one part, which lives as long as any of them.
        """
        key = (support.rows.numpy().tobytes(), support.columns.numpy().tobytes())
        part = self._parts.get(key)
        if part is None:
            part = GroupBasis(
                name=self.name,
                layers=self.layers,
                U=columns_of(self.U, support.columns.to(self.U.device)),
                V=columns_of(self.V, support.rows.to(self.V.device)),
                eigenvalues_in=self.eigenvalues_in[support.columns],
                eigenvalues_out=self.eigenvalues_out[support.rows],
            )
            self._parts[key] = part
        return part

    def __deepcopy__(self, memo: dict[int, Any]) -> GroupBasis:
        # Nothing in it changes, so a copied model shares the basis as its layers do.
        return self


def _by_column(matrix: Tensor) -> Tensor:
    return matrix.T.contiguous().T


def columns_of(
    matrix: Float[Tensor, "rows columns"], chosen: Int64[Tensor, " k"]
) -> Float[Tensor, "rows k"]:
    """Some columns of U or V, copied as they lie in memory: column by column."""
    return matrix.T.index_select(0, chosen).T


@dataclass(frozen=True, eq=False)
class Basis:
    """A published basis: its identity and its groups.

    Args:
        digest: ``sha256:<hex>`` of the manifest, the identity of the basis.
        groups: the groups by name.
        reference: the name and version under which it was fetched, if any.
        model: the model that it was calibrated on, if known.

    Raises:
        InvalidInput: when the digest is none, no group is there, or two groups name one layer.
    """

    digest: str
    groups: Mapping[str, GroupBasis]
    reference: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(DIGEST, self.digest):
            raise InvalidInput(
                f"basis: expected a digest sha256:<64 hexadecimal digits>, got {self.digest!r}"
            )
        if not self.groups:
            raise InvalidInput(f"basis {self}: expected at least one group, got none")
        object.__setattr__(self, "groups", MappingProxyType(dict(self.groups)))
        seen: dict[str, str] = {}
        for name, group in self.groups.items():
            if group.name != name:
                raise InvalidInput(f"basis {self}: group {group.name!r} is filed under {name!r}")
            for layer in group.layers:
                if layer in seen:
                    raise InvalidInput(
                        f"basis {self}: layer {layer!r} is in two groups, "
                        f"{seen[layer]!r} and {name!r}"
                    )
                seen[layer] = name

    def __str__(self) -> str:
        return self.reference or self.digest

    def __deepcopy__(self, memo: dict[int, Any]) -> Basis:
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """Module paths of all layers that the basis is for."""
        return tuple(layer for group in self.groups.values() for layer in group.layers)

    def group_of(self, layer: str) -> GroupBasis:
        """The group that a layer belongs to.

        Raises:
            InvalidInput: when the basis has no such layer.
        """
        for group in self.groups.values():
            if layer in group.layers:
                return group
        raise InvalidInput(f"basis {self} has no layer {layer!r}; it has {', '.join(self.layers)}")
