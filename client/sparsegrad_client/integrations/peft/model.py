"""The tuner: what PEFT asks of a method, answered for SparseGrad."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from peft.tuners.tuners_utils import BaseTuner
from peft.utils import AuxiliaryTrainingWrapper
from torch import nn

from sparsegrad_shared.errors import InvalidInput, UnsupportedModel, WrongBasis

from ...adapters.delta import check_weights, weighted_sum
from ...basis import Basis, GroupBasis
from ...fitting import block_shape
from ...support import Support
from .bases import basis_of
from .config import SparseGradPeftConfig
from .layer import SparseGradPeftLayer
from .mixed_batches import each_its_adapter
from .registration import PREFIX
from .targets import check_targets, takes


class SparseGradPeftModel(BaseTuner):
    """A model with SparseGrad adapters.

    Bases belong to it, one for all adapters and layers that are on it; layers hold what their
    entries need of it. It goes when the last adapter on it is deleted.
    """

    prefix = PREFIX
    tuner_layer_cls = SparseGradPeftLayer
    target_module_mapping = {}  # noqa: RUF012  # the basis names the layers
    peft_config: dict[str, SparseGradPeftConfig]  # type: ignore[assignment]
    bases: dict[str, Basis]  # by digest

    def basis_of(self, adapter_name: str) -> Basis:
        """The basis that an adapter is on.

        Raises:
            InvalidInput: when there is no such adapter.
        """
        if adapter_name not in self.peft_config:
            raise InvalidInput(
                f"no adapter {adapter_name!r}; there are {', '.join(self.peft_config)}"
            )
        return self._basis(self.peft_config[adapter_name])

    def _basis(self, config: SparseGradPeftConfig) -> Basis:
        assert config.basis_digest is not None  # noqa: S101  # set when the basis was fetched
        return self.bases[config.basis_digest]

    # Injection, in the order in which PEFT calls it. The first two run before it may make empty
    # weights (`low_cpu_mem_usage`), so the basis is never one of them.

    def _prepare_adapter_config(  # type: ignore[override]
        self, peft_config: SparseGradPeftConfig, model_config: dict[str, Any]
    ) -> SparseGradPeftConfig:
        return peft_config

    def _prepare_model(self, peft_config: SparseGradPeftConfig, model: nn.Module) -> None:  # type: ignore[override]
        held = self.__dict__.get("bases", {})
        basis = basis_of(peft_config, held)
        if peft_config.target_modules is None:
            peft_config.target_modules = set(basis.layers)
        check_targets(peft_config, basis, model)
        for group in basis.groups.values():
            if any(takes(peft_config, layer) for layer in group.layers):
                _support(peft_config, group)
        self.bases = held | {basis.digest: basis}

    def _check_target_module_exists(self, peft_config: SparseGradPeftConfig, key: str) -> bool:  # type: ignore[override]
        return key in self._basis(peft_config).layers and takes(peft_config, key)

    def _create_and_replace(  # type: ignore[override]
        self,
        peft_config: SparseGradPeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> None:
        basis = self._basis(peft_config)
        group = basis.group_of(current_key)
        layer = target
        if not isinstance(layer, SparseGradPeftLayer):
            layer = SparseGradPeftLayer(target, current_key)
        layer.add_adapter(
            adapter_name,
            basis,
            _support(peft_config, group).indices(group.r_in),
            from_zero=peft_config.init_weights,
        )
        if layer is not target:
            self._replace_module(parent, target_name, layer, target)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: object, **kwargs: Any) -> Iterator[None]:  # noqa: ANN401
        names = kwargs.get("adapter_names")
        if names is None:
            yield
            return
        with each_its_adapter(self, names, beams=kwargs.get("num_beams") or 1):
            yield

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter, and its basis where no other adapter is on it."""
        super().delete_adapter(adapter_name)
        used = {config.basis_digest for config in self.peft_config.values()}
        self.bases = {digest: basis for digest, basis in self.bases.items() if digest in used}

    def _check_merge_allowed(self) -> None:
        super()._check_merge_allowed()  # type: ignore[no-untyped-call]
        for module in self.model.modules():
            if isinstance(module, SparseGradPeftLayer):
                module.check_mergeable()

    def add_weighted_adapter(
        self, adapters: Sequence[str], weights: Sequence[float], adapter_name: str
    ) -> None:
        """Add an adapter that is a weighted sum of others, exactly.

        The sum is taken in the sparse space, over the union of the adapters' entries. The new
        adapter is frozen until it is made active.

        Args:
            adapters: names of adapters on one basis.
            weights: a factor each; negative ones subtract.
            adapter_name: the new adapter's name.

        Raises:
            InvalidInput: when a name is unknown, or taken, or there is not one finite weight for
                each adapter.
            WrongBasis: when the adapters are on several bases.
            UnsupportedModel: when several of them trained the same whole module.
        """
        self._check_summands(adapters, weights, adapter_name)
        config = self._config_of_sum(adapters)
        self.peft_config[adapter_name] = config
        try:
            self.inject_adapter(self.model, adapter_name)
        except BaseException:
            del self.peft_config[adapter_name]
            raise
        self._cast_adapter_dtype(adapter_name)
        for layer in self._layers():
            if not layer.has_adapter(adapter_name):
                continue
            parts = [
                (layer.delta(name), weight)
                for name, weight in zip(adapters, weights, strict=True)
                if layer.has_adapter(name)
            ]
            total = weighted_sum([delta for delta, _ in parts], [weight for _, weight in parts])
            layer.set_entries(adapter_name, total.indices, total.values)
        self._copy_saved_modules(adapters, adapter_name)
        self.set_requires_grad(adapter_name, requires_grad=False)

    def _check_summands(
        self, adapters: Sequence[str], weights: Sequence[float], adapter_name: str
    ) -> None:
        check_weights(len(adapters), weights)
        if adapter_name in self.peft_config:
            raise InvalidInput(f"there is an adapter {adapter_name!r} already; choose another name")
        digests = {name: self.basis_of(name).digest for name in adapters}
        if len(set(digests.values())) > 1:
            named = ", ".join(f"{name!r} on {digest}" for name, digest in digests.items())
            raise WrongBasis(f"adapters on one basis can be added, these are on several: {named}")

    def _config_of_sum(self, adapters: Sequence[str]) -> SparseGradPeftConfig:
        saved = [m for name in adapters for m in self.peft_config[name].modules_to_save or ()]
        twice = sorted({module for module in saved if saved.count(module) > 1})
        if twice:
            raise UnsupportedModel(
                f"several of the adapters trained {', '.join(twice)} as a whole "
                "(modules_to_save); such weights have no exact sum"
            )
        layers = {
            layer.name
            for layer in self._layers()
            if any(layer.has_adapter(name) for name in adapters)
        }
        return replace(
            self.peft_config[adapters[0]],
            target_modules="|".join(re.escape(layer) for layer in sorted(layers)),
            modules_to_save=saved or None,
        )

    def _copy_saved_modules(self, adapters: Sequence[str], adapter_name: str) -> None:
        for module in self.model.modules():
            if isinstance(module, AuxiliaryTrainingWrapper):
                copies = getattr(module, "modules_to_save", {})
                for name in adapters:
                    if name in copies and adapter_name in copies:
                        copies[adapter_name].load_state_dict(copies[name].state_dict())

    def _layers(self) -> list[SparseGradPeftLayer]:
        return [
            module for module in self.model.modules() if isinstance(module, SparseGradPeftLayer)
        ]


def _support(config: SparseGradPeftConfig, group: GroupBasis) -> Support:
    """The block that trains in each layer of a group: the leading one of the size asked for.

    Raises:
        ShapeMismatch: when it is larger than the coordinates.
    """
    support = Support.leading(*block_shape(group, config.sizes()))
    support.check_fits(group.r_out, group.r_in, group.layers[0])
    return support
