"""What every engine has in common: `SparseGradLinear`.

Layout (that of `sparsegrad_client.basis`, and)::

    x            … × d_in        input, any number of leading dimensions
    y            … × d_out       output, x Wᵀ + b
    W            d_out × d_in    weight in the original space
    coordinates  n_rows × n_columns  W̃ = Vᵀ W U, whose gradient is G̃ = Vᵀ G U: all of it, or the
                                 block W̃[R, C] where the support is one
    delta        r_out · r_in    every change of W̃ since the layer was made, sparse, row-major

The bias stays in the original space. U and V belong to the group; no layer holds them. An *index*
is a flat place in `coordinates`, a *position* one in all of W̃; they differ in a block only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput

from ..basis import Basis, GroupBasis
from ..config import ChosenSelection, SparseGradConfig
from ..selection import check_finite, largest_entries
from ..sparse_vector import DenseVector, SparseEntries, SparseVector, fill_in
from ..support import Entries, Support, block_of
from .plain import PlainLayer, check_dtype
from .sample import sample_of
from .selected import selecting_in_backward


class SparseGradLinear(nn.Module, ABC):
    """A linear layer that trains in its group's basis, a few entries at a time.

    It is the same function as the plain layer that it replaces, and so are the gradients of its
    input and bias. `coordinates.grad` is the gradient in the basis; `MaskedAdam` turns it into
    sparse steps and gives them to `add_entries_`.

    Args:
        plain: the layer to replace; its parameters are taken over, not copied.
        name: the layer's path in the model, for errors and adapters.
        basis: the basis that has the layer.
        config: how to train it.
        support: what trains, where that is known beforehand: a block of the coordinates, or
            single entries; None lets each step choose.

    Raises:
        ShapeMismatch: when the support reaches beyond the coordinates.
    """

    engine: ClassVar[str]
    coordinates: nn.Parameter
    positions: Int64[Tensor, " n"] | None
    part: GroupBasis
    # Sees x and y and gives y back: `BasisFit`, now and then. A hook of torch's, when it comes
    # after torch.compile, is left out; an attribute is looked at.
    observer: Callable[[Tensor, Tensor], Tensor] | None

    def __init__(
        self,
        plain: PlainLayer,
        name: str,
        basis: Basis,
        config: SparseGradConfig,
        support: Support | Entries | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.basis = basis
        self.config = config
        self.group = basis.group_of(name)
        self.layout = plain.layout
        self.out_features, self.in_features = plain.shape
        self.has_bias = plain.bias is not None
        self.sample = sample_of(plain)
        self.observer = None
        self.register_buffer("positions", None)
        self._set_support(support, plain.device)
        self.train(plain.training)

    def _set_support(self, support: Support | Entries | None, device: torch.device) -> None:
        group = self.group
        if support is not None:
            support.check_fits(group.r_out, group.r_in, self.name)
        self.support = support
        self.part = group.part(support) if isinstance(support, Support) else group
        match support:
            case Support():
                self.positions = support.indices(group.r_in).to(device)
                self.entries = self.size
            case Entries():
                self.positions = support.indices.to(device)
                self.entries = self.positions.numel()
            case None:
                weights = self.out_features * self.in_features
                self.entries = min(self.config.entries_of(weights), self.size)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The output, x Wᵀ + b."""
        y = self._product(x)
        return y if self.observer is None else self.observer(x, y)

    @abstractmethod
    def _product(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The output, however the engine computes it."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of `coordinates`: (r_out, r_in), or that of the block."""
        return self.part.r_out, self.part.r_in

    @property
    def size(self) -> int:
        """How many coordinates there are in `coordinates`."""
        return self.part.r_out * self.part.r_in

    @property
    def selection(self) -> ChosenSelection:
        """Which entries a step changes; what ``auto`` came to."""
        match self.support:
            case None:
                return "dynamic"
            case Entries():
                return "frozen"
            case Support():
                return "block"

    @property
    def _selects_in_backward(self) -> bool:
        return self.config.accumulate == "selected" and self.support is None

    @property
    def feeds_back(self) -> bool:
        """Whether what a step does not keep of its gradient is added to the next one's."""
        return self.config.feeds_back and self.support is None and self.entries < self.size

    def _no_changes(self, like: Tensor) -> SparseVector | DenseVector:
        """What holds the changes of W̃; with error feedback most entries change in time."""
        vector = DenseVector if self.feeds_back else SparseVector
        return vector(self.group.r_out * self.group.r_in, like=like)

    def _watched_coordinates(self) -> Float[Tensor, "n_rows n_columns"]:
        """`coordinates` for the forward pass, so that backward passes select where they are to."""
        if not self._selects_in_backward:
            return self.coordinates
        return selecting_in_backward(self.coordinates, self.entries)

    @property
    @abstractmethod
    def delta(self) -> SparseEntries:
        """Every change of W̃ since the layer was made, by position."""

    @property
    def touched(self) -> int:
        """How many entries `delta` has."""
        return len(self.delta)

    @abstractmethod
    def dense_weight(self) -> Float[Tensor, "d_out d_in"]:
        """The weight in the original space as it stands; do not change it."""

    def select(self, gradient: Float[Tensor, "n_rows n_columns"]) -> Int64[Tensor, " k"]:
        """Indices of the entries that an optimizer step on this gradient changes, rising.

        Raises:
            NonFiniteGradient: when the gradient holds NaN or infinity.
        """
        if self.support is None:
            # What was selected in the backward passes already all changes.
            entries = self.size if self._selects_in_backward else self.entries
            return largest_entries(gradient, entries, name=self.name)
        check_finite(gradient, self.name)
        if isinstance(self.support, Support):
            return torch.arange(self.size, device=gradient.device)
        assert self.positions is not None  # noqa: S101  # every support has some
        return self.positions

    def check_support(self) -> None:
        """Refuse a block that is not the one this layer was made for.

        `DistributedDataParallel` copies the first rank's buffers over the others', but knows
        nothing of the basis's columns that a rank took for its block.

        Raises:
            InvalidInput: says how ranks come to the same support.
        """
        if not isinstance(self.support, Support) or self.positions is None:
            return
        if not torch.equal(self.positions.cpu(), self.support.indices(self.group.r_in)):
            raise InvalidInput(
                f"layer {self.name!r}: this process chose another block than the first rank; give "
                "sparsify the same warm-up batches on every rank, or process_group=…"
            )

    def positions_of(self, indices: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
        """Where entries of `coordinates` are in all of W̃."""
        if isinstance(self.support, Support):
            assert self.positions is not None  # noqa: S101  # every support has some
            return self.positions[indices]
        return indices

    @torch.no_grad()
    def add_entries_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add to single coordinates: what an optimizer step does.

        Args:
            indices: flat places in `coordinates`, rising, unique.
            values: what to add there.

        Raises:
            UnsupportedModel: when the weight was converted to half precision meanwhile.
        """
        check_dtype(self.coordinates, self.name)
        self._add_entries_(indices, values.to(self.coordinates.dtype))

    @abstractmethod
    def _add_entries_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add `values` to the coordinates at `indices`, however the engine holds them."""

    @abstractmethod
    def add_delta_(self, positions: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add what another training changed, wherever in W̃ it is; see `load_adapter`.

        Args:
            positions: flat places in the r_out × r_in matrix W̃, rising, unique.
            values: what to add there.
        """

    @abstractmethod
    def move_(self, support: Support) -> None:
        """Train another block from now on; what the present one learned stays.

        Call it between a step and the next backward pass, on all ranks alike.
        `DistributedDataParallel` has noted the shape of `coordinates`: give it a block of the same
        one, or wrap the model anew.

        Args:
            support: the block's rows and columns.

        Raises:
            ShapeMismatch: when the block reaches beyond the coordinates.
            UnsupportedModel: when the engine cannot, with the model's weights.
        """

    @abstractmethod
    def merged(self) -> nn.Module:
        """The plain layer with the trained weight, of the class that was replaced."""

    def extra_repr(self) -> str:
        """What `print(model)` says of the layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.has_bias}, group={self.group.name}, "
            f"coordinates={self.part.r_out}x{self.part.r_in}, entries={self.entries}"
        )

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
        # A warm-up or a move chose the support: take the checkpoint's before tensors are copied.
        positions = state_dict.get(f"{prefix}positions")
        if self.positions is not None and positions is not None:
            self._restore_support(positions)
        if any(key.startswith(prefix) for key in state_dict):  # not of another part of the model
            for name, module in self.named_children():
                if isinstance(module, SparseVector | DenseVector):
                    fill_in(state_dict, f"{prefix}{name}.")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _restore_support(self, positions: Int64[Tensor, " n"]) -> None:
        assert self.positions is not None  # noqa: S101  # only called when there are some
        if torch.equal(positions, self.positions):
            return
        device = self.positions.device
        if isinstance(self.support, Entries):
            self._set_support(Entries(positions.cpu()), device)
        else:
            self._set_support(block_of(positions.cpu(), self.group.r_in), device)
            self._resize()

    @abstractmethod
    def _resize(self) -> None:
        """Give `coordinates` the shape of a support that was just restored."""


def sparse_layers(model: nn.Module) -> dict[str, SparseGradLinear]:
    """The SparseGrad layers of a model by path, each once, in the order of the model."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SparseGradLinear)
    }


def require_sparse_layers(model: nn.Module) -> dict[str, SparseGradLinear]:
    """The same, for a model that must have some.

    Raises:
        InvalidInput: when it has none.
    """
    layers = sparse_layers(model)
    if not layers:
        raise InvalidInput("the model has no sparse layers; make some by sparsify(model, basis)")
    return layers
