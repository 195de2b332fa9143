"""From a plain model to a sparse one and back: `sparsify` and `merge`, both in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from sparsegrad_shared.errors import InvalidInput, UnsupportedModel

from .basis import Basis, GroupBasis
from .calibration.batches import Batch
from .calibration.ranks import Ranks
from .config import ChosenSelection, SparseGradConfig
from .fitting import block_shape, check_shape, missing_layer
from .layers import ENGINES, choose, choose_feedback, require_sparse_layers, room_for, sparse_layers
from .layers.plain import PlainLayer, is_linear, read_plain
from .left_out import leave_out
from .selection import largest_entries
from .support import Entries, Support, block_of, most_energetic
from .trainable import trainable_names
from .warm_up import Watched, all_entries, measure, rows_and_columns

Supports = Mapping[str, Support | Entries]


@dataclass(frozen=True, eq=False)
class Replacement:
    """One layer to replace: the modules that share its parameters, and their name in the basis."""

    name: str
    modules: tuple[nn.Module, ...]
    plain: PlainLayer


def sparsify(
    model: nn.Module,
    basis: Basis,
    config: SparseGradConfig | None = None,
    *,
    warm_up: Iterable[Batch] = (),
    process_group: ProcessGroup | None = None,
) -> nn.Module:
    """Replace the layers that a basis names by `SparseGradLinear`, in place.

    Weights are taken over, not copied. Everything else is frozen but for what
    `config.trainable` says. A layer that stands at several places of the model, or two layers
    that share their parameters, become one. All checks come first: on an error the model is as
    it was.

    Args:
        model: any module with `nn.Linear` or GPT-2 `Conv1D` layers.
        basis: a basis whose groups name layers of the model.
        config: how to train; the defaults are the paper's.
        warm_up: batches whose gradients choose the support, for the selections ``frozen``, which
            needs some, and ``block``, which takes the leading rows and columns without.
        process_group: the ranks that warm up together, such as
            ``torch.distributed.group.WORLD``: each on batches of its own, and all choose the
            same support; None for this process alone.

    Returns:
        The same model.

    Raises:
        InvalidInput: when the model is sparse already, `config.trainable` matches nothing, or
            batches for the warm-up are missing or cannot be used.
        UnsupportedModel: when a layer is missing (the nearest names are given) or cannot be
            replaced.
        ShapeMismatch: when a layer has other sizes than its group in the basis, or the block
            is larger than the coordinates.
        RankFailed: when another rank's warm-up failed; says what it said.
    """
    config = config or SparseGradConfig()
    batches = list(warm_up)

    def choose_supports(
        selection: ChosenSelection, replacements: Sequence[Replacement]
    ) -> Supports:
        return _warmed_up(model, basis, config, selection, replacements, batches, process_group)

    return _convert(model, basis, config, choose_supports)


def sparsify_for(
    model: nn.Module, basis: Basis, config: SparseGradConfig, positions: Mapping[str, Tensor]
) -> nn.Module:
    """`sparsify`, with the support of each layer as an earlier training had it.

    Args:
        model: see `sparsify`.
        basis: see `sparsify`.
        config: how that training was set up.
        positions: the places in W̃ that it changed, for each layer.
    """

    def choose_supports(
        selection: ChosenSelection, replacements: Sequence[Replacement]
    ) -> Supports:
        if selection == "dynamic":
            return {}
        return {
            item.name: _support_of(
                basis.group_of(item.name), config, selection, positions.get(item.name)
            )
            for item in replacements
        }

    return _convert(model, basis, config, choose_supports)


def _convert(
    model: nn.Module,
    basis: Basis,
    config: SparseGradConfig,
    choose_supports: Callable[[ChosenSelection, Sequence[Replacement]], Supports],
) -> nn.Module:
    if sparse_layers(model):
        raise InvalidInput("the model is sparse already; give its plain self back by merge(model)")
    replacements = plan(model, basis)
    replaced = [module for item in replacements for module in item.modules]
    trainable = trainable_names(model, config.trainable, replaced)

    plain = {item.name: item.plain for item in replacements}
    groups = [basis.group_of(name) for name in plain]
    coordinates = sum(group.r_out * group.r_in for group in groups)
    room = room_for(model, coordinates, replacements[0].plain.device)
    choice = choose(config, plain, room)
    if choice.selection == "dynamic":
        config = choose_feedback(config, room)
    _check_block(config, basis)
    supports = choose_supports(choice.selection, replacements)

    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    make = ENGINES[choice.engine]
    layers = [
        make(item.plain, item.name, basis, config, supports.get(item.name)) for item in replacements
    ]
    for item, layer in zip(replacements, layers, strict=True):
        for module in item.modules:
            replace_module(model, module, layer)
    return model


def _check_block(config: SparseGradConfig, basis: Basis) -> None:
    if config.block is not None:
        for group in basis.groups.values():
            support = Support.leading(*config.block)
            support.check_fits(group.r_out, group.r_in, group.layers[0])


def _warmed_up(
    model: nn.Module,
    basis: Basis,
    config: SparseGradConfig,
    selection: ChosenSelection,
    replacements: Sequence[Replacement],
    batches: Sequence[Batch],
    process_group: ProcessGroup | None,
) -> Supports:
    """What trains of each layer, where that is known before training."""
    if selection == "dynamic":
        return {}
    together = process_group is not None
    if not batches and selection == "frozen" and not together:
        raise InvalidInput(
            "selection='frozen' chooses its entries by a warm-up: give sparsify some batches, "
            "warm_up=[…], or take selection='block', which does without"
        )
    reduce = all_entries if selection == "frozen" else rows_and_columns
    watched = [
        Watched(item.name, item.modules, basis.group_of(item.name), reduce) for item in replacements
    ]
    if batches or together:
        measure(model, watched, batches, Ranks(process_group, replacements[0].plain.device))
    return {layer.name: _support(layer, config) for layer in watched}


def _support_of(
    group: GroupBasis,
    config: SparseGradConfig,
    selection: ChosenSelection,
    positions: Tensor | None,
) -> Support | Entries:
    if positions is None or positions.numel() == 0:  # saved before anything was trained
        return Support.leading(*block_shape(group, config))
    return Entries(positions) if selection == "frozen" else block_of(positions, group.r_in)


def _support(layer: Watched, config: SparseGradConfig) -> Support | Entries:
    group = layer.group
    match layer.energy:
        case (energy,):
            kept = min(config.entries_of(group.d_out * group.d_in), energy.numel())
            return Entries(largest_entries(energy, kept, name=layer.name).cpu())
        case (rows, columns):
            shape = block_shape(group, config)
            return most_energetic(shape, rows, columns)
        case _:
            return Support.leading(*block_shape(group, config))


def merge(model: nn.Module) -> nn.Module:
    """Give the plain model back, trained weights and all, in place.

    Every `SparseGradLinear` becomes a layer of the class that `sparsify` found. Which parameters
    are frozen stays as it is; `model.requires_grad_(True)` thaws them.

    Returns:
        The same model.

    Raises:
        InvalidInput: when the model has no sparse layers.
        UnsupportedModel: when the engine is `adapter` and the layer's weight is quantised.
    """
    for layer in require_sparse_layers(model).values():
        replace_module(model, layer, layer.merged())
    leave_out(model, set())  # of a `Trainer`'s checkpoints, when it did not come to its end
    return model


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` wherever `old` stands."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


def plan(model: nn.Module, basis: Basis) -> list[Replacement]:
    """What `sparsify` would replace, with every check made and nothing changed.

    Raises:
        UnsupportedModel: see `sparsify`.
        ShapeMismatch: see `sparsify`.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    named: dict[nn.Module, str] = {}
    for layer in basis.layers:
        module = modules.get(layer)
        if module is None:
            linear = [name for name, module in modules.items() if is_linear(module)]
            raise missing_layer(basis, layer, linear)
        first = named.setdefault(module, layer)
        _check_same_group(basis, first, layer)
    return _unite_tied(model, basis, named)


def _check_same_group(basis: Basis, first: str, second: str) -> None:
    groups = basis.group_of(first).name, basis.group_of(second).name
    if groups[0] != groups[1]:
        raise UnsupportedModel(
            f"layers {first!r} and {second!r} are one layer of the model, "
            f"but the basis has them in two groups, {groups[0]!r} and {groups[1]!r}"
        )


def _unite_tied(model: nn.Module, basis: Basis, named: dict[nn.Module, str]) -> list[Replacement]:
    """One replacement for all layers that share their parameters."""
    owners: dict[int, list[nn.Module]] = defaultdict(list)
    for module in model.modules():
        for parameter in module._parameters.values():
            owners[id(parameter)].append(module)
    united: dict[int, Replacement] = {}
    for module, name in named.items():
        plain = read_plain(module, name)
        check_shape(basis, name, plain.shape)
        sharing = owners[id(plain.weight)]
        for owner in sharing:
            if owner not in named or getattr(owner, "bias", None) is not plain.bias:
                raise UnsupportedModel(
                    f"layer {name!r} shares its weight with a {type(owner).__name__} that the "
                    "basis does not name or that has another bias; training one would change "
                    "the other. Untie them first"
                )
        first = united.setdefault(id(plain.weight), Replacement(name, tuple(sharing), plain))
        _check_same_group(basis, first.name, name)
    return list(united.values())
