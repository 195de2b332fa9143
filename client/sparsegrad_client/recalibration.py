"""Recalibration: the next version of a basis, from the model and the data of the present training.

The gradients that the training will go on with are those of the weights as they stand, so the
basis is made from these: the model's sparse layers are merged, and what was learned is in the
weights that the next steps begin from. Nothing learned is lost. The optimizer's moments are: they
belong to entries of the basis before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed import ProcessGroup

from sparsegrad_shared.calibrations import DatasetSource, HosvdOptions, ModelSource
from sparsegrad_shared.errors import CorruptFile, Forbidden, InvalidInput, UnsupportedModel
from sparsegrad_shared.references import BasisReference, parse_name

from .basis import Basis
from .cache import BasisCache
from .calibration import calibrate
from .calibration.batches import Batch, take
from .calibration.run import Progress
from .convert import merge, replace_module, sparsify
from .groups import LayerSpec
from .home import bases_folder
from .layers import AdapterLinear, SparseGradLinear, require_sparse_layers
from .layers.plain import TRAINABLE_DTYPES
from .warm_up import WARM_UP

TAG = "recalibrated"  # that the version can be found by


def recalibrate(
    model: nn.Module,
    batches: Iterable[Batch],
    name: str | None = None,
    *,
    server: str | None = None,
    token: str | None = None,
    steps: int = 30,
    held_out: int = 3,
    source: ModelSource | None = None,
    dataset: DatasetSource | None = None,
    resume: str | None = None,
    process_group: ProcessGroup | None = None,
    opened: Callable[[str], None] = lambda calibration: None,
    progress: Progress = lambda phase, completed, total: None,
) -> Basis:
    """Publish the next version of a model's basis, and go on in it, in place.

    What was learned is merged into the weights; the layers, their groups, the settings of
    `sparsify` and those of the calibration stay. The parameters of the sparse layers are new
    ones: build a new optimizer afterwards. An adapter that is saved then holds what is learned
    from here on; save one before, too, and load them one after the other, with `merge` between.

    On an error the model is as it was.

    Args:
        model: a model that `sparsify` made.
        batches: keyword arguments for the model, labels among them; see `calibrate`.
        name: the name to publish under; the basis's own when None.
        server: see `calibrate`.
        token: see `calibrate`.
        steps: see `calibrate`.
        held_out: see `calibrate`.
        source: see `calibrate`.
        dataset: see `calibrate`.
        resume: see `calibrate`.
        process_group: see `calibrate`.
        opened: told the id of the calibration as soon as it has one.
        progress: see `calibrate`.

    Returns:
        The published basis.

    Raises:
        InvalidInput: when the model is not sparse, its basis came without a name and none is
            given, or see `calibrate`.
        UnsupportedModel: when the weights cannot take what was learned, being quantised or in
            half precision.
        Forbidden: when the token may not publish under the name.
    """
    layers = require_sparse_layers(model)
    first = next(iter(layers.values()))
    name = name_to_publish(first.basis, name)
    options = _options_of(first.basis)
    _check_weights(layers.values())
    taken = take(batches, steps + held_out)
    with _merged(model, layers):
        try:
            basis = calibrate(
                model,
                taken,
                name,
                server=server,
                token=token,
                steps=steps,
                held_out=held_out,
                spec=_same_groups(first.basis),
                rank=options.rank,
                energy=options.energy,
                normalize=options.normalize,
                source=source,
                dataset=dataset,
                tags=(TAG,),
                resume=resume,
                process_group=process_group,
                opened=opened,
                progress=progress,
            )
        except Forbidden as error:
            error.add_note(
                f"The next version of a basis is published as {name}: ask for a token that may "
                "write there, or give a name of your own (name=…, --recalibrate-name)."
            )
            raise
        sparsify(
            model,
            basis,
            first.config,
            warm_up=taken[:WARM_UP] if first.selection == "frozen" else (),
            process_group=process_group,
        )
    return basis


def name_to_publish(basis: Basis, name: str | None = None) -> str:
    """What the next version of a basis is published as.

    Args:
        basis: the basis.
        name: another name than its own.

    Raises:
        InvalidInput: when there is none: the basis came by its digest, or from a file.
        InvalidReference: when `name` is not of the form team/name.
    """
    if name is not None:
        parse_name(name)
        return name
    reference = BasisReference.parse(basis.reference or basis.digest)
    if reference.name is None:
        raise InvalidInput(
            f"basis {basis.digest} was not fetched by a name, so there is none to publish its next "
            "version under; give one (name=…, --recalibrate-name team/name)"
        )
    return f"{reference.namespace}/{reference.name}"


def _options_of(basis: Basis) -> HosvdOptions:
    """How the basis was computed, as its manifest in the cache says."""
    try:
        return BasisCache(bases_folder()).manifest(basis.digest).options
    except CorruptFile:  # a basis that was never fetched
        ranks = {min(group.r_in, group.r_out) for group in basis.groups.values()}
        full = all(group.is_full for group in basis.groups.values())
        return HosvdOptions(rank=None if full else max(ranks))


def _same_groups(basis: Basis) -> LayerSpec:
    return LayerSpec(
        {name: "|".join(map(re.escape, group.layers)) for name, group in basis.groups.items()}
    )


def _check_weights(layers: Iterable[SparseGradLinear]) -> None:
    for layer in layers:
        if isinstance(layer, AdapterLinear):
            weight = layer.base.weight
            dtype = getattr(weight, "dtype", None)
            if layer.layout is None or dtype not in TRAINABLE_DTYPES:
                raise UnsupportedModel(
                    f"layer {layer.name!r}: its weight is {dtype}, and merging would round away "
                    "what was learned; recalibrate a model in float32, or begin a new training"
                )


@contextmanager
def _merged(model: nn.Module, layers: dict[str, SparseGradLinear]) -> Iterator[None]:
    """The plain model; on an error its sparse layers come back as they were."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    merge(model)
    plain = {path: model.get_submodule(path) for path in layers}
    try:
        yield
    except BaseException:
        modules = dict(model.named_modules())
        for path, layer in layers.items():
            if modules.get(path) is plain[path]:
                replace_module(model, plain[path], layer)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        raise
