"""A linear layer with SparseGrad adapters on it.

Layout (that of `entries` and `subspace`, and)::

    x   … × d_in     input
    y   … × d_out    output, base(x) + Σ x U_C Sᵀ V_Rᵀ over the active adapters
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_shared.errors import UnsupportedModel

from ...layers.plain import is_plain
from .entries import LayerEntries

BASE = "__base__"  # what PEFT calls the model without adapters, among adapters' names
_MERGEABLE = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class SparseGradPeftLayer(LayerEntries):
    """A linear layer, of any class and any type of weight, and adapters beside it.

    Args:
        base_layer: the layer; it is kept as it is.
        name: its path in the model, for errors.
    """

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
            if self.has_adapter(name):
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
        x = self._cast_input_dtype(x, values.dtype)
        down, up = self.subspace(name).factors(values, _compute_dtype(x))
        return x @ down @ up

    def get_delta_weight(self, adapter_name: str) -> Tensor:
        """ΔW of an adapter, in the layout of the base layer's weight and the adapter's type."""
        values: Tensor = self.sparsegrad_values[adapter_name]
        down, up = self.subspace(adapter_name).factors(values, values.dtype)
        delta = down @ up
        return delta if isinstance(self.get_base_layer(), Conv1D) else delta.T

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
            name for name in check_adapters_to_merge(self, adapter_names) if self.has_adapter(name)
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


def _compute_dtype(x: Tensor) -> torch.dtype:
    # Basis vectors come in the type in which autocast multiplies, rather than be cast each time.
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
