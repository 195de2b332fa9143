"""A linear layer with SparseGrad adapters on it.

Layout (that of `subspace`, and)::

    x   … × d_in     input
    y   … × d_out    output, base(x) + Σ ((x U_C) Sᵀ) V_Rᵀ over the active adapters

An adapter's values are a parameter of one dimension, so whatever trains it leaves all other
coordinates alone. The basis is in no parameter and no buffer: an adapter's files hold indices and
values, and which basis they belong to.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_shared.errors import UnsupportedModel

from ...adapters import LayerDelta, LayerShape
from ...basis import GroupBasis
from ...layers.plain import is_plain
from ...sparse_vector import check_entries
from .features import features
from .subspace import Subspace

_MERGEABLE = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_INT32 = torch.iinfo(torch.int32).max
BASE = "__base__"  # what PEFT calls the model without adapters, among adapters' names
_RANDOM_SCALE = 0.1  # standard deviation of values that do not start from zero


class SparseGradPeftLayer(BaseTunerLayer, nn.Module):
    """A linear layer, of any class and any type of weight, and adapters beside it.

    Args:
        base_layer: the layer; it is kept as it is.
        name: its path in the model, for errors.
    """

    adapter_layer_names = ("sparsegrad_values",)
    other_param_names = ("sparsegrad_indices", "sparsegrad_subspaces")

    def __init__(self, base_layer: nn.Module, name: str) -> None:
        nn.Module.__init__(self)
        self.base_layer = base_layer
        self.name = name
        self.in_features, self.out_features = features(base_layer, name)
        self.sparsegrad_values = nn.ParameterDict()
        self.sparsegrad_indices = BufferDict(persistent=True)
        self.sparsegrad_subspaces: dict[str, Subspace] = {}
        self._disable_adapters = False
        self.merged_adapters = []

    def add_adapter(
        self,
        adapter_name: str,
        group: GroupBasis,
        indices: Int64[Tensor, " n"],
        *,
        from_zero: bool = True,
        inference: bool = False,
    ) -> None:
        """Add an adapter.

        Args:
            adapter_name: its name.
            group: the basis of the layer.
            indices: flat positions of its entries in the coordinates, rising, unique.
            from_zero: whether its values are zero; random where not.
            inference: whether the active adapters are frozen.
        """
        values = torch.zeros(indices.numel())
        if not from_zero:
            values.normal_(std=_RANDOM_SCALE)
        self.sparsegrad_subspaces[adapter_name] = Subspace.of(group, indices)
        self.sparsegrad_values[adapter_name] = nn.Parameter(values)
        self.sparsegrad_indices[adapter_name] = _compact(indices, group)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=inference)

    def delta(self, adapter_name: str) -> LayerDelta:
        """An adapter's entries, as a value of its own."""
        values: Tensor = self.sparsegrad_values[adapter_name]
        return LayerDelta(
            LayerShape.of(self.sparsegrad_subspaces[adapter_name].group),
            self.sparsegrad_indices[adapter_name].to("cpu", torch.int64, copy=True),
            values.detach().to("cpu", copy=True),
        )

    @torch.no_grad()
    def set_entries(
        self, adapter_name: str, indices: Int64[Tensor, " n"], values: Float[Tensor, " n"]
    ) -> None:
        """Give an adapter other entries, however many; type and device stay.

        The parameter stays too, where the entries are at the same places, and so an optimizer
        that has it goes on.

        Raises:
            ShapeMismatch: when these are not indices and values.
            InvalidInput: when an index is out of range, out of order or there twice, or a value
                is not finite.
        """
        group = self.sparsegrad_subspaces[adapter_name].group
        size = group.r_out * group.r_in
        check_entries(indices, values, size, where=f"adapter {adapter_name!r} of {self.name}")
        own: nn.Parameter = self.sparsegrad_values[adapter_name]
        places, own_places = indices.cpu().long(), self.sparsegrad_indices[adapter_name]
        if torch.equal(places, own_places.cpu().long()):
            own.copy_(values)
            return
        new = values.to(own.device, own.dtype, copy=True)
        self.sparsegrad_subspaces[adapter_name] = Subspace.of(group, places)
        self.sparsegrad_values[adapter_name] = nn.Parameter(new, own.requires_grad)
        self.sparsegrad_indices[adapter_name] = _compact(places, group).to(own_places.device)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: object, **kwargs: object
    ) -> None:
        # A saved adapter may have other entries than a new one: a sum of adapters does.
        for name in self.sparsegrad_subspaces:
            indices = state_dict.get(f"{prefix}sparsegrad_indices.{name}")
            values = state_dict.get(f"{prefix}sparsegrad_values.{name}")
            if indices is not None and values is not None:
                self.set_entries(name, indices, values)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(
        self,
        x: Float[Tensor, "... d_in"],
        *args: object,
        adapter_names: Sequence[str] | None = None,
        **kwargs: object,
    ) -> Float[Tensor, "... d_out"]:
        """The base layer's output, and what the adapters add to it.

        Args:
            x: the input.
            *args: passed on to the base layer.
            adapter_names: an adapter for each example, in place of the active ones for all.
            **kwargs: passed on to the base layer.

        Raises:
            ValueError: when `adapter_names` does not fit the batch, or adapters are merged.
        """
        if adapter_names is not None:
            self._check_each(x, adapter_names)
        if self.disable_adapters and self.merged:
            self.unmerge()
        result: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        if adapter_names is not None:
            return self._add_to_each(result, x, adapter_names)
        dtype = result.dtype
        for name in self.active_adapters:
            if name in self.sparsegrad_subspaces:
                result = result + self._delta(x, name)
        return result.to(dtype)

    def _check_each(self, x: Tensor, adapter_names: Sequence[str]) -> None:
        if len(x) != len(adapter_names):
            raise ValueError(
                "Length of `adapter_names` should be the same as the number of inputs, but got "
                f"{len(adapter_names)} and {len(x)} respectively."
            )
        if self.merged:
            raise ValueError(
                "Cannot pass `adapter_names` when there are merged adapters, "
                "please call `unmerge_adapter` first."
            )

    def _add_to_each(self, result: Tensor, x: Tensor, adapter_names: Sequence[str]) -> Tensor:
        for name in sorted(self.sparsegrad_subspaces.keys() & set(adapter_names)):
            at = torch.tensor([at for at, each in enumerate(adapter_names) if each == name])
            at = at.to(x.device)
            result = result.index_add(0, at, self._delta(x[at], name).to(result.dtype))
        return result

    def _delta(self, x: Float[Tensor, "... d_in"], name: str) -> Float[Tensor, "... d_out"]:
        values: Tensor = self.sparsegrad_values[name]
        subspace = self.sparsegrad_subspaces[name]
        x = self._cast_input_dtype(x, values.dtype)
        U, V = subspace.directions(x.device, _compute_dtype(x))
        return ((x @ U) @ subspace.block(values).T) @ V.T

    def get_delta_weight(self, adapter_name: str) -> Tensor:
        """ΔW of an adapter, in the layout of the base layer's weight and the adapter's type."""
        values: Tensor = self.sparsegrad_values[adapter_name]
        subspace = self.sparsegrad_subspaces[adapter_name]
        U, V = subspace.directions(values.device, values.dtype)
        delta = V @ subspace.block(values) @ U.T
        return delta.T if isinstance(self.get_base_layer(), Conv1D) else delta

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add adapters to the base layer's weight.

        Args:
            safe_merge: whether to look for NaN and infinity first.
            adapter_names: which; the active ones where it is not given.

        Raises:
            UnsupportedModel: when the weight is not one that can be added to.
            ValueError: when `safe_merge` finds a result that is not finite.
        """
        names = [
            name
            for name in check_adapters_to_merge(self, adapter_names)
            if name in self.sparsegrad_subspaces
        ]
        if not names:
            return
        self.check_mergeable()
        for name in names:
            self._add_to_weight(self.get_delta_weight(name), name, safe_merge)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Take every merged adapter out of the base layer's weight again."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
        while self.merged_adapters:
            name = self.merged_adapters.pop()
            self._add_to_weight(-self.get_delta_weight(name), name, safe=False)

    @torch.no_grad()
    def _add_to_weight(self, delta: Tensor, name: str, safe: bool) -> None:
        weight = cast("nn.Parameter", self.get_base_layer().weight)
        # One rounding, of the sum: a low-precision weight meets the delta as it is.
        merged = (weight.data + delta.to(weight.device)).to(weight.dtype)
        if safe and not bool(merged.isfinite().all()):
            raise ValueError(
                f"NaNs detected in the merged weights. The adapter {name} seems to be broken"
            )
        weight.data = merged

    def check_mergeable(self) -> None:
        """Refuse to merge into a weight that cannot be added to.

        Raises:
            UnsupportedModel: when the layer is quantised, or of a class that is not known.
        """
        base = self.get_base_layer()
        if not is_plain(base) or cast("Tensor", base.weight).dtype not in _MERGEABLE:
            raise UnsupportedModel(
                f"layer {self.name!r} is a {type(base).__name__}, quantised or of a class that "
                "is not known, and nothing can be merged into it; put the adapter on the model as "
                "it was before, and merge it there"
            )

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Yes: the adapter adds ΔW to the weight."""
        return True

    def __repr__(self) -> str:
        return f"sparsegrad.{super().__repr__()}"


def _compact(indices: Tensor, group: GroupBasis) -> Tensor:
    return indices.int() if group.r_out * group.r_in - 1 <= _INT32 else indices


def _compute_dtype(x: Tensor) -> torch.dtype:
    # Basis vectors come in the type in which autocast multiplies, rather than be cast each time.
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
