"""The `adapter` engine: the layer as it was, frozen, and a small product beside it.

    y = base(x) + ((x U_C) Sᵀ) V_Rᵀ,   S = ΔW̃[R, C], zero at the start

It needs a support of few rows or few columns, known before the backward pass, and costs what LoRA
of rank min(|R|, |C|) costs: S is multiplied with its longer side first. The base may be in any
type, quantised too: no step is ever added to its weight. Where the columns are the fewer, the
small projection x U_C is kept for the backward pass, not x. From some hundred tokens on, and where
the types allow it, the change is added to the weight first (`changed`).

`coordinates` is S, a parameter like any other: any optimizer can train it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sparsegrad_shared.errors import UnsupportedModel

from ..basis import Basis
from ..config import SparseGradConfig
from ..sharding import add_here_, whole
from ..sparse_vector import SparseEntries, SparseVector
from ..support import Entries, Support, block_of
from .base import SparseGradLinear
from .changed import changed_product, one_product_is_cheaper
from .plain import TRAINABLE_DTYPES, Layout, PlainLayer
from .rotation import block_factors, fold_entries, tokens


class AdapterLinear(SparseGradLinear):
    """The small layer; see the module's docstring, and the base class for the arguments.

    Without a support all coordinates of the basis train, which is meant for truncated bases.
    """

    engine: ClassVar[str] = "adapter"
    base: nn.Module

    def __init__(
        self,
        plain: PlainLayer,
        name: str,
        basis: Basis,
        config: SparseGradConfig,
        support: Support | Entries | None = None,
    ) -> None:
        group = basis.group_of(name)
        if isinstance(support, Entries):
            support = block_of(support.indices, group.r_in)
        super().__init__(
            plain, name, basis, config, support or Support.leading(group.r_out, group.r_in)
        )
        plain.weight.requires_grad_(False)
        plain.take_bias(trains=config.train_bias)
        self.base = plain.module
        # Small steps are lost in half precision: S stays in a type that keeps them.
        dtype = plain.weight.dtype if plain.weight.dtype in TRAINABLE_DTYPES else torch.float32
        zeros = torch.zeros(self.shape, dtype=dtype, device=plain.device)
        self.coordinates = nn.Parameter(zeros)
        # What earlier blocks learned, folded into the base's weight when the support moved on.
        self.settled = SparseVector(group.r_out * group.r_in, like=zeros)

    def _product(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The output, x (W + V_R S U_Cᵀ)ᵀ + b."""
        if self._fits_one_product(x):
            _, W = self._plain()
            down, up = self._factors(x.dtype)
            return changed_product(x, W, self.bias, down, up)
        y: Tensor = self.base(x)
        down, up = self._factors(y.dtype)
        change = tokens(x).to(y.dtype) @ down
        if self.layout is None:  # autograd lets nobody write into what a custom function gave
            return torch.addmm(tokens(y), change, up).view(y.shape)
        # Multiplied into the output, in place: it is larger than all else together.
        return tokens(y).addmm_(change, up).view(y.shape)

    def _fits_one_product(self, x: Tensor) -> bool:
        """Whether W and the change can be summed: in a type that keeps the change, and for less."""
        weight = self.base.weight
        return (
            self.layout is not None
            and type(weight) is nn.Parameter  # FSDP shards it for whoever calls the base itself
            and x.dtype == weight.dtype
            and x.dtype in TRAINABLE_DTYPES
            and not torch.is_autocast_enabled(x.device.type)
            and one_product_is_cheaper(
                x.numel() // self.in_features, self.out_features, self.in_features
            )
        )

    def _factors(
        self, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "d_in r"], Float[Tensor, "r d_out"]]:
        """(V_R S U_Cᵀ)ᵀ as two factors of the smaller side's rank."""
        S = self.coordinates
        return block_factors(S, self.part.on(S.device, S.dtype), self.part.on(S.device, dtype))

    @property
    def bias(self) -> nn.Parameter | None:
        """The base's bias."""
        bias = self.base.bias
        assert isinstance(bias, nn.Parameter | None)  # noqa: S101  # as it was when taken apart
        return bias

    @property
    def delta(self) -> SparseEntries:
        """Every change of W̃ since the layer was made, by position."""
        present = self._present()
        return self.settled.entries.plus(present) if len(self.settled) else present

    def _present(self) -> SparseEntries:
        assert self.positions is not None  # noqa: S101  # the support is a block
        return SparseEntries(self.positions, whole(self.coordinates.detach()).flatten())

    def dense_weight(self) -> Float[Tensor, "d_out d_in"]:
        """W + V_R S U_Cᵀ, in S's type.

        Raises:
            UnsupportedModel: when the weight is quantised.
        """
        S = self.coordinates.detach()
        U, V = self.part.on(S.device, S.dtype)
        _, W = self._plain()
        return torch.addmm(W.to(S.dtype), V @ S, U.T)

    def _plain(self) -> tuple[Layout, Tensor]:
        """The base's layout, and its weight as d_out × d_in; no copy."""
        if self.layout is None:
            raise UnsupportedModel(
                f"layer {self.name!r}: its weight is quantised, and the change cannot be merged "
                "into it; save the adapter and merge it into the model as it was before"
            )
        weight = self.base.weight
        assert isinstance(weight, Tensor)  # noqa: S101  # plain layers have one
        return self.layout, self.layout.view(weight.detach())

    def merged(self) -> nn.Module:
        """A plain layer with the change in its weight, rounded to the weight's own type.

        Raises:
            UnsupportedModel: when the weight is quantised.
        """
        layout, W = self._plain()
        weight = layout.view(self.dense_weight().to(W.dtype)).contiguous()
        parameter = nn.Parameter(weight, requires_grad=False)
        return layout.build(parameter, self.bias).train(self.training)

    def _add_entries_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        add_here_(self.coordinates, indices, values)

    @torch.no_grad()
    def add_delta_(self, positions: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add what another training changed; the support grows to hold it."""
        grown = self._present().plus(SparseEntries(positions, values))
        device = self.coordinates.device
        self._set_support(block_of(grown.indices.cpu(), self.group.r_in), device)
        self._resize()
        at = torch.searchsorted(self._present().indices, grown.indices)
        self.coordinates.view(-1)[at] = grown.values

    @torch.no_grad()
    def move_(self, support: Support) -> None:
        """Train another block from now on, and fold what this one learned into the weight.

        Raises:
            UnsupportedModel: when the base's weight cannot take it.
        """
        _, W = self._plain()
        if W.dtype not in TRAINABLE_DTYPES:
            raise UnsupportedModel(
                f"layer {self.name!r}: its weight is {W.dtype}; a block can move where the weight "
                "is float32 or float64, since what it learned is folded into it"
            )
        support.check_fits(self.group.r_out, self.group.r_in, self.name)
        U, V = self.part.on(W.device, W.dtype)
        indices = torch.arange(self.size, device=W.device)
        learned = self.coordinates.flatten()
        W.add_(fold_entries(indices, learned, U, V))
        self.settled.add_(self.positions_of(indices), learned)
        self._set_support(support, W.device)
        self._resize()

    def _resize(self) -> None:
        self.coordinates.grad = None  # it was of another block
        self.coordinates.data = self.coordinates.new_zeros(self.shape)
