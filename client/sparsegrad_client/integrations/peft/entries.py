"""What a layer keeps of its adapters: entries, and which basis they are in.

Layout, of each adapter, under the names that its files have::

    sparsegrad_values    n         a parameter: what is added to the coordinates, in its own type
    sparsegrad_indices   n         a buffer: int32, int64 where 2³¹ coordinates are not enough
    sparsegrad_basis     32 uint8  a buffer: the digest of the basis

The values have one dimension, so whatever trains them leaves all other coordinates alone. The
basis itself is in no parameter and no buffer; its digest sees to it that no values get onto
another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Int64
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from sparsegrad_shared.errors import WrongBasis

from ...adapters import LayerDelta, LayerShape
from ...basis import Basis
from ...layers.plain import shape_of
from ...sharding import whole
from ...sparse_vector import check_entries, pack_indices
from .packing import pack_digest, unpack_digest
from .subspace import Subspace

_RANDOM_SCALE = 0.1  # standard deviation of values that do not start from zero


class _Known(NamedTuple):
    """What is known of an adapter's entries, and the buffer that it was read from."""

    indices: Tensor
    subspace: Subspace
    digest: str


class LayerEntries(BaseTunerLayer, nn.Module):
    """A linear layer, of any class and any type of weight, and the entries of its adapters.

    Args:
        base_layer: the layer; it is kept as it is.
        name: its path in the model, for errors.
    """

    adapter_layer_names = ("sparsegrad_values",)
    other_param_names = ("sparsegrad_indices", "sparsegrad_basis", "sparsegrad_subspaces")

    def __init__(self, base_layer: nn.Module, name: str) -> None:
        nn.Module.__init__(self)
        self.base_layer = base_layer
        self.name = name
        self.out_features, self.in_features = shape_of(base_layer, name)
        self.sparsegrad_values = nn.ParameterDict()
        self.sparsegrad_indices = BufferDict(persistent=True)
        self.sparsegrad_basis = BufferDict(persistent=True)
        self.sparsegrad_subspaces: dict[str, _Known] = {}
        self._disable_adapters = False
        self.merged_adapters = []

    def add_adapter(
        self,
        adapter_name: str,
        basis: Basis,
        indices: Int64[Tensor, " n"],
        *,
        from_zero: bool = True,
    ) -> None:
        """Add an adapter; whether it is active and trains is for PEFT to say.

        Args:
            adapter_name: its name.
            basis: a basis that has the layer.
            indices: flat positions of its entries in the coordinates, rising, unique.
            from_zero: whether its values are zero; random where not.
        """
        group = basis.group_of(self.name)
        values = torch.zeros(indices.numel())
        if not from_zero:
            values.normal_(std=_RANDOM_SCALE)
        self.sparsegrad_values[adapter_name] = nn.Parameter(values)
        self.sparsegrad_indices[adapter_name] = pack_indices(indices, group.r_out * group.r_in)
        self.sparsegrad_basis[adapter_name] = pack_digest(basis.digest)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self._note(adapter_name, Subspace.of(group, indices), basis.digest)

    def has_adapter(self, adapter_name: str) -> bool:
        """Whether the layer has an adapter of that name."""
        return adapter_name in self.sparsegrad_subspaces

    def subspace(self, adapter_name: str) -> Subspace:
        """Where an adapter's entries lie.

        Raises:
            WrongBasis, ShapeMismatch, InvalidInput: as `set_entries` and `load_state_dict`, when
                somebody put other entries into the buffers, past either.
        """
        known = self.sparsegrad_subspaces[adapter_name]
        if self.sparsegrad_indices[adapter_name] is not known.indices:
            # Moved to another device, or replaced by a loader of its own, as transformers has one.
            return self._read(adapter_name)
        return known.subspace

    def _read(self, adapter_name: str) -> Subspace:
        self._check_basis(adapter_name, self.sparsegrad_basis[adapter_name])
        known, delta = self.sparsegrad_subspaces[adapter_name], self.delta(adapter_name)
        self._check_entries(adapter_name, delta.indices, delta.values)
        subspace = Subspace.of(known.subspace.group, delta.indices)
        self._note(adapter_name, subspace, known.digest)
        return subspace

    def _note(self, adapter_name: str, subspace: Subspace, digest: str) -> None:
        indices = self.sparsegrad_indices[adapter_name]
        self.sparsegrad_subspaces[adapter_name] = _Known(indices, subspace, digest)

    def delta(self, adapter_name: str) -> LayerDelta:
        """An adapter's entries, as a value of its own."""
        values: Tensor = self.sparsegrad_values[adapter_name]
        return LayerDelta(
            LayerShape.of(self.sparsegrad_subspaces[adapter_name].subspace.group),
            self.sparsegrad_indices[adapter_name].to("cpu", torch.int64, copy=True),
            whole(values.detach()).to("cpu", copy=True),
        )

    @torch.no_grad()
    def set_entries(self, adapter_name: str, indices: Tensor, values: Tensor) -> None:
        """Give an adapter other entries, however many; type and device stay.

        The parameter stays too, where the entries are at the same places, and so an optimizer
        that has it goes on.

        Args:
            adapter_name: which adapter.
            indices: n flat positions, int32 or int64, rising, unique.
            values: n numbers.

        Raises:
            ShapeMismatch: when these are not indices and values.
            InvalidInput: when an index is out of range, out of order or there twice, or a value
                is not finite.
        """
        self._check_entries(adapter_name, indices, values)
        own: nn.Parameter = self.sparsegrad_values[adapter_name]
        places, own_places = indices.cpu().long(), self.sparsegrad_indices[adapter_name]
        if torch.equal(places, own_places.cpu().long()):
            own.copy_(values)
            return
        _, subspace, digest = self.sparsegrad_subspaces[adapter_name]
        subspace = Subspace.of(subspace.group, places)
        new = values.to(own.device, own.dtype, copy=True)
        packed = pack_indices(places, subspace.size).to(own_places.device)
        self.sparsegrad_values[adapter_name] = nn.Parameter(new, own.requires_grad)
        self.sparsegrad_indices[adapter_name] = packed
        self._note(adapter_name, subspace, digest)

    def _check_entries(self, adapter_name: str, indices: Tensor, values: Tensor) -> None:
        size = self.sparsegrad_subspaces[adapter_name].subspace.size
        check_entries(indices, values, size, where=f"adapter {adapter_name!r} of {self.name}")

    def _check_basis(self, adapter_name: str, stored: Tensor) -> None:
        own = self.sparsegrad_subspaces[adapter_name].digest
        if unpack_digest(stored) != own:
            raise WrongBasis(
                f"adapter {adapter_name!r}: its values were trained on basis "
                f"{unpack_digest(stored)}, not on {own}; load it with the config that was saved "
                "with it"
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: object, **kwargs: object
    ) -> None:
        # A saved adapter may have other entries than a new one: a sum of adapters does.
        for name in self.sparsegrad_subspaces:
            parts = ("basis", "indices", "values")
            basis, indices, values = (
                state_dict.get(f"{prefix}sparsegrad_{part}.{name}") for part in parts
            )
            if basis is not None:
                self._check_basis(name, basis)
            if indices is not None and values is not None:
                self.set_entries(name, indices, values)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
