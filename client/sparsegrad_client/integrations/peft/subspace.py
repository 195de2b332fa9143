"""Where an adapter's entries lie in a layer's coordinates, and the basis vectors they need.

Layout::

    indices  n                    flat positions in the r_out × r_in coordinates, rising
    values   n                    what is added to the coordinates there
    S        n_rows × n_columns   the same over the rows R and the columns C that have any entry
    U_C      d_in × n_columns     U[:, C]
    V_R      d_out × n_rows       V[:, R]

So ΔW = V_R S U_Cᵀ (method, section 3: the `adapter` engine). Where the entries are a block, every
row with every column, S is the values themselves, and U_C and V_R are kept, once for all layers
with the same block. Scattered entries touch most of the basis, so theirs are picked from the
group's one copy whenever they are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...basis import GroupBasis
from ...layers.rotation import Directions, block_factors
from ...support import Support


@dataclass(frozen=True, eq=False)
class Subspace:
    """The rows and columns of a group's basis that some entries touch.

    Args:
        group: the basis.
        support: rows and columns that have any entry.
        part: U_C and V_R, where the entries are a block.
        positions: where in the flat S each entry stands, where they are not.
    """

    group: GroupBasis
    support: Support
    part: GroupBasis | None
    positions: Int64[Tensor, " n"] | None
    _places: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of(cls, group: GroupBasis, indices: Int64[Tensor, " n"]) -> Subspace:
        """The subspace of entries at flat positions that are rising and in range."""
        rows, row_at = torch.unique(indices // group.r_in, return_inverse=True)
        columns, column_at = torch.unique(indices % group.r_in, return_inverse=True)
        support = Support(rows, columns)
        if indices.numel() == rows.numel() * columns.numel():
            return cls(group, support, group.part(support), None)
        return cls(group, support, None, row_at * columns.numel() + column_at)

    @property
    def size(self) -> int:
        """How many coordinates there are: r_out · r_in."""
        return self.group.r_out * self.group.r_in

    def __deepcopy__(self, memo: dict[int, object]) -> Subspace:
        # Nothing in it changes, so a copied model shares it as the layers do.
        return self

    def directions(self, device: torch.device, dtype: torch.dtype) -> Directions:
        """U_C and V_R."""
        if self.part is not None:
            return self.part.on(device, dtype)
        U, V = self.group.on(device, dtype)
        rows, columns, _ = self._on(device)
        return U[:, columns], V[:, rows]

    def block(self, values: Float[Tensor, " n"]) -> Float[Tensor, "n_rows n_columns"]:
        """S, differentiable in the values."""
        if self.positions is None:
            return values.view(self.support.shape)
        rows, columns = self.support.shape
        _, _, positions = self._on(values.device)
        return values.new_zeros(rows * columns).scatter(0, positions, values).view(rows, columns)

    def factors(
        self, values: Float[Tensor, " n"], dtype: torch.dtype
    ) -> tuple[Float[Tensor, "d_in r"], Float[Tensor, "r d_out"]]:
        """ΔWᵀ as two factors in a type, r the smaller side of S; differentiable in the values."""
        own = self.directions(values.device, values.dtype)
        cast = own if dtype == values.dtype else self.directions(values.device, dtype)
        return block_factors(self.block(values), own, cast)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        if device not in self._places:
            assert self.positions is not None  # noqa: S101  # only scattered entries come here
            places = (self.support.rows, self.support.columns, self.positions)
            self._places[device] = (
                places[0].to(device),
                places[1].to(device),
                places[2].to(device),
            )
        return self._places[device]
