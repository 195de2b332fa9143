"""An adapter as a value: read without a model, added, scaled, averaged, written.

Adapters on one basis are sparse matrices in one space, so their weighted sums are exact to
round-off and no weight of a model is touched. Arithmetic acts on the sparse layers only. The
other parameters that an adapter may hold (a head, biases) are trained values, not changes: a sum
of two heads means nothing. So they are never scaled or added. A parameter that only one operand
has is kept; one that several have is kept when they agree bit for bit, and refused when not.
`Adapter.without_parameters` says which operand's not to take::

    both = first + second.without_parameters()    # with the head of `first`
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, WrongBasis

from ..config import SparseGradConfig
from ..sparse_vector import check_entries, pack_indices
from .delta import LayerDelta, LayerShape, check_weights, weighted_sum
from .files import AdapterConfig, LayerRecord, read_files, write_files


@dataclass(frozen=True, eq=False)
class Adapter:
    """What training changed: entries in a basis, and other trained parameters.

    It never changes; every operation makes a new one.

    Args:
        basis_digest: the basis that the entries are in.
        layers: the change of each layer, by its path in the model.
        parameters: every other trained parameter, by its name in the model.
        basis_reference: the name and version that the basis was fetched by, if known.
        model: the model that training began with, if known.
        training: how it was trained; None when no one training made it.
        origin: where it was read, for errors.

    Raises:
        ShapeMismatch: when a layer's tensors are not of the layout in `delta`.
        InvalidInput: when an index is out of range or order, or a value is not finite.
    """

    basis_digest: str
    layers: Mapping[str, LayerDelta] = field(repr=False)
    parameters: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    basis_reference: str | None = None
    model: str | None = None
    training: SparseGradConfig | None = None
    origin: str = "the adapter"

    def __post_init__(self) -> None:
        for name, delta in self.layers.items():
            where = f"{self.origin}: layer {name!r}"
            check_entries(delta.indices, delta.values, delta.shape.size, where=where)
            if delta.sample is not None and not delta.sample.is_floating_point():
                raise ShapeMismatch(
                    f"{where}: expected a sample of floating-point numbers, "
                    f"got {delta.sample.dtype}"
                )

    @property
    def entries(self) -> int:
        """Entries touched, in all layers."""
        return sum(len(delta) for delta in self.layers.values())

    @property
    def basis_name(self) -> str:
        """The basis as an error or a table names it: its reference, if known, and digest."""
        return f"{self.basis_reference or 'without a name'} ({self.basis_digest})"

    def without_parameters(self) -> Adapter:
        """The same changes of the sparse layers, and nothing else."""
        return replace(self, parameters={})

    def save(self, path: str | Path) -> None:
        """Write the adapter into a folder, as `save_adapter` does.

        The folder appears whole or not at all; an adapter that stood there is replaced.

        Raises:
            InvalidInput: when the folder holds something else.
            OSError: when the disk refuses.
        """
        tensors = dict(self.parameters)
        for name, delta in self.layers.items():
            tensors[f"{name}.indices"] = pack_indices(delta.indices, delta.shape.size)
            tensors[f"{name}.values"] = delta.values
            if delta.sample is not None:
                tensors[f"{name}.sample"] = delta.sample
        data = safetensors.torch.save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        )
        write_files(Path(path), data, self._describe(digest_of([data])))

    def _describe(self, tensors_digest: str) -> AdapterConfig:
        return AdapterConfig(
            basis_digest=self.basis_digest,
            basis_reference=self.basis_reference,
            model=self.model,
            training=self.training,
            layers={name: _record(delta) for name, delta in self.layers.items()},
            parameters=tuple(self.parameters),
            tensors_digest=tensors_digest,
        )

    def __add__(self, other: Adapter) -> Adapter:
        if not isinstance(other, Adapter):
            return NotImplemented
        return combine([self, other], [1.0, 1.0])

    def __sub__(self, other: Adapter) -> Adapter:
        if not isinstance(other, Adapter):
            return NotImplemented
        return combine([self, other], [1.0, -1.0])

    def __mul__(self, factor: float) -> Adapter:
        if not isinstance(factor, Real):
            return NotImplemented
        return combine([self], [float(factor)])

    __rmul__ = __mul__


def read_adapter(path: str | Path) -> Adapter:
    """Read an adapter's folder; no model is needed.

    Raises:
        NotFound: when there is no adapter at `path`.
        CorruptFile: when a file is not what was once written.
        ShapeMismatch: when a tensor is not of the layout that the config promises.
        InvalidInput: when an index is out of range or order, a value is not finite, or the
            adapter is one of PEFT.
    """
    config, tensors = read_files(Path(path))
    return Adapter(
        basis_digest=config.basis_digest,
        layers={
            name: LayerDelta(
                LayerShape(record.d_out, record.d_in, record.r_out, record.r_in),
                tensors[f"{name}.indices"].long(),
                tensors[f"{name}.values"],
                tensors.get(f"{name}.sample"),
            )
            for name, record in config.layers.items()
        },
        parameters={name: tensors[name] for name in config.parameters},
        basis_reference=config.basis_reference,
        model=config.model,
        training=config.training,
        origin=str(path),
    )


def average(adapters: Sequence[Adapter], weights: Sequence[float] | None = None) -> Adapter:
    """The mean of adapters on one basis, over the union of their entries.

    An entry that an adapter did not touch counts as zero.

    Args:
        adapters: at least one.
        weights: how much each counts; brought to a sum of 1. All the same when None.

    Raises:
        WrongBasis: when two are on different bases; names both.
        InvalidInput: when the weights are not as many, or sum to nothing; and as `combine`.
    """
    weights = [1.0] * len(adapters) if weights is None else list(weights)
    total = math.fsum(weights)
    if adapters and not (math.isfinite(total) and total):
        raise InvalidInput(f"average: expected weights that sum to more than 0, got {weights}")
    return combine(adapters, [weight / total for weight in weights])


def combine(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    """Σ weight · adapter: the weighted sum in the sparse space, in the widest of the types.

    The training settings are kept when all agree. See the module's docstring for the parameters
    outside the sparse layers.

    Args:
        adapters: at least one.
        weights: a finite factor for each.

    Raises:
        WrongBasis: when two are on different bases; names both.
        ShapeMismatch: when a layer has two shapes.
        InvalidInput: when there is no adapter, the weights are not as many or not finite, the
            layers are others, or two trained one parameter to different values.
    """
    check_weights(len(adapters), weights)
    first, *others = adapters
    for other in others:
        _check_alike(first, other)
    return Adapter(
        basis_digest=first.basis_digest,
        layers={
            name: weighted_sum([adapter.layers[name] for adapter in adapters], weights)
            for name in first.layers
        },
        parameters=_agreed_parameters(adapters),
        basis_reference=next(filter(None, (a.basis_reference for a in adapters)), None),
        model=first.model if all(a.model == first.model for a in others) else None,
        training=first.training if all(a.training == first.training for a in others) else None,
    )


def _check_alike(first: Adapter, other: Adapter) -> None:
    if first.basis_digest != other.basis_digest:
        raise WrongBasis(
            f"{first.origin} is on basis {first.basis_name}, {other.origin} on "
            f"{other.basis_name}; only adapters on one basis can be combined"
        )
    if set(first.layers) != set(other.layers):
        odd = sorted(set(first.layers) ^ set(other.layers))
        raise InvalidInput(
            f"{first.origin} and {other.origin} are of different layers: only one of them has "
            f"{', '.join(odd[:5])}"
        )
    for name, delta in first.layers.items():
        shape = other.layers[name].shape
        if delta.shape != shape:
            raise ShapeMismatch(
                f"layer {name!r} is {delta.shape} in {first.origin}, and {shape} in {other.origin}"
            )


def _agreed_parameters(adapters: Sequence[Adapter]) -> dict[str, Tensor]:
    agreed: dict[str, Tensor] = {}
    owner: dict[str, str] = {}
    for adapter in adapters:
        for name, value in adapter.parameters.items():
            if not _identical(agreed.setdefault(name, value), value):
                raise InvalidInput(
                    f"{owner[name]} and {adapter.origin} both trained {name!r}, to different "
                    "values; outside the sparse layers only one adapter's can be kept: take the "
                    "others without_parameters() (`sparsegrad-client adapters add` has "
                    "--parameters)"
                )
            owner.setdefault(name, adapter.origin)
    return agreed


def _identical(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _record(delta: LayerDelta) -> LayerRecord:
    shape = delta.shape
    return LayerRecord(
        d_out=shape.d_out, d_in=shape.d_in, r_out=shape.r_out, r_in=shape.r_in, entries=len(delta)
    )
