"""The `folded` engine: W stays in the original space, and sparse steps are folded into it.

Forward and ∂L/∂x are the plain layer's, at its speed; the model is a plain model at every moment.
The basis is met only where it must be: for the gradient G̃ in the backward pass, and when a step
ΔW̃ becomes W += V ΔW̃ Uᵀ.

W̃ is held nowhere, yet optimizers, gradient clipping and loss scaling need a parameter that
carries G̃. That is `coordinates` here: a parameter of W̃'s shape whose values take no memory.

Where the support is a block, G̃[R, C] = (g V_R)ᵀ (x U_C): for the backward pass the small projection
x U_C is kept in place of x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..basis import Basis, GroupBasis
from ..config import SparseGradConfig
from ..sparse_vector import SparseEntries
from ..support import Entries, Support
from .base import SparseGradLinear
from .plain import PlainLayer
from .rotation import fold_entries, gradient_in_basis, tokens


class CoordinateHandle(nn.Parameter):
    """A parameter that is there for its gradient: one zero, expanded to a shape.

    An optimizer that would write values into it (any but `MaskedAdam`) gets torch's error about
    overlapping memory instead of training nothing in silence.
    """

    def detach(self) -> Tensor:
        """Zeros in memory of their own: what `DistributedDataParallel` writes its first sync into.

        Plain torch gives a view, and a broadcast into the expanded zero is refused.
        """
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> CoordinateHandle:
        # torch's own would lay the zeros out in memory.
        copy = type(self)(_zeros(self), requires_grad=self.requires_grad)
        memo[id(self)] = copy
        return copy


def _zeros(like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    zero = torch.zeros((), dtype=like.dtype, device=like.device)
    return zero.expand(like.shape if shape is None else shape)


class _FoldedProduct(torch.autograd.Function):
    """y = x Wᵀ + b, whose backward pass also gives the coordinates' gradient.

    torch types the context loosely (what is saved on it is not declared), and so do we.
    """

    @staticmethod
    def forward(
        x: Tensor,
        coordinates: Tensor,
        bias: Tensor | None,
        weight: Tensor,
        U: Tensor,
        V: Tensor,
        is_block: bool,
    ) -> Tensor:
        return nn.functional.linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        x, _, _, weight, U, V, is_block = inputs
        needs_x, needs_coordinates = ctx.needs_input_grad[:2]
        kept = (x @ U if is_block else x, U, V) if needs_coordinates else (None, None, None)
        # The weight as it is, not its cast under autocast: casting again is cheaper to hold.
        ctx.save_for_backward(weight if needs_x else None, *kept)
        ctx.is_block = is_block

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        weight, kept, U, V = ctx.saved_tensors
        needs_x, needs_coordinates, needs_bias = ctx.needs_input_grad[:3]
        return (
            g @ weight.to(g.dtype) if needs_x else None,
            _coordinate_gradient(g, kept, U, V, ctx.is_block) if needs_coordinates else None,
            tokens(g).sum(0) if needs_bias else None,
            *(None,) * 4,
        )


def _coordinate_gradient(
    g: Tensor, kept: Tensor, U: Tensor, V: Tensor, is_block: bool
) -> Float[Tensor, "n_rows n_columns"]:
    if is_block:
        product: Tensor = (tokens(g) @ V).T @ tokens(kept)
        return product
    return gradient_in_basis(tokens(g), tokens(kept), U, V)


class FoldedLinear(SparseGradLinear):
    """The fast layer; see the module's docstring, and the base class for the arguments."""

    engine: ClassVar[str] = "folded"
    weight: nn.Parameter
    bias: nn.Parameter | None
    coordinates: CoordinateHandle

    def __init__(
        self,
        plain: PlainLayer,
        name: str,
        basis: Basis,
        config: SparseGradConfig,
        support: Support | Entries | None = None,
    ) -> None:
        super().__init__(plain, name, basis, config, support)
        plain.matrix(name)  # refuses a weight that cannot take small steps
        self.bias = plain.take_bias(trains=config.train_bias)
        plain.weight.requires_grad_(False)
        self.weight = plain.weight
        self.coordinates = CoordinateHandle(_zeros(self.weight, self.shape))
        self.changes = self._no_changes(like=plain.weight)

    def _product(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The output, x Wᵀ + b."""
        bias: Tensor | None = self.bias
        device = x.device.type
        # What autocast does to a plain layer (it leaves float64 alone). It cannot see into ours.
        if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
            x = x.to(torch.get_autocast_dtype(device))
            bias = None if bias is None else bias.to(x.dtype)
        elif x.dtype != self.weight.dtype:
            raise TypeError(
                f"layer {self.name!r}: expected an input of {self.weight.dtype}, got {x.dtype}"
            )
        U, V = self.part.on(x.device, x.dtype)
        product: Tensor = _FoldedProduct.apply(  # type: ignore[no-untyped-call]
            x,
            self._watched_coordinates(),
            bias,
            self._matrix(),
            U,
            V,
            isinstance(self.support, Support),
        )
        return product

    def _matrix(self) -> Tensor:
        assert self.layout is not None  # noqa: S101  # the weight is plain
        return self.layout.view(self.weight.detach())

    @property
    def delta(self) -> SparseEntries:
        """Every change of W̃ since the layer was made, by position."""
        return self.changes.entries

    @property
    def touched(self) -> int:
        """How many entries `delta` has; counted without making it, since it is asked each step."""
        return len(self.changes)

    def dense_weight(self) -> Float[Tensor, "d_out d_in"]:
        """W itself."""
        return self._matrix()

    def merged(self) -> nn.Module:
        """The plain layer with the trained weight, of the class that was replaced."""
        assert self.layout is not None  # noqa: S101  # the weight is plain
        return self.layout.build(self.weight, self.bias).train(self.training)

    def _add_entries_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        self._fold_(indices, values, self.part)
        self.changes.add_(self.positions_of(indices), values)

    @torch.no_grad()
    def add_delta_(self, positions: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add what another training changed; see the base class."""
        self._fold_(positions, values, self.group)
        self.changes.add_(positions, values)

    def _fold_(self, indices: Tensor, values: Tensor, basis: GroupBasis) -> None:
        U, V = basis.on(self.weight.device, self.weight.dtype)
        self._matrix().add_(fold_entries(indices, values.to(self.weight.dtype), U, V))

    def move_(self, support: Support) -> None:
        """Train another block from now on; see the base class."""
        self._set_support(support, self.weight.device)
        self.coordinates.grad = None  # it was of another block
        self._resize()

    def _resize(self) -> None:
        self.coordinates.data = _zeros(self.weight, self.shape)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FoldedLinear:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # Moving or casting lays the handle's zeros out in memory: fold them up again.
        self._resize()
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        # A plain layer's entries, and the delta: the handle has nothing to save.
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}coordinates"]

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        key = f"{prefix}coordinates"
        if key in missing_keys:
            missing_keys.remove(key)
