"""Selection: which entries of a gradient an optimizer step changes (method of the paper, 5.1).

The k entries of largest magnitude, and of equal ones those with the lowest flat index. Entries
that are exactly zero are never chosen, so fewer than k may come back. `largest_entries_reference`
says it simply; `largest_entries` gives the same answer without ordering the whole gradient.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient

from .sharding import whole

_SAMPLE = 1 << 16  # entries looked at to guess the threshold
_MARGIN = 4.0  # standard deviations by which the guess aims at too many candidates
_FAST_FROM = 1 << 18  # entries below which the reference is as fast
_FAST_UP_TO = 0.2  # share of entries kept above which the reference is as fast
_CPU_PIECE = 1 << 18  # entries scanned at a time on a CPU: their magnitudes stay in its cache


def largest_entries(
    gradient: Float[Tensor, "r_out r_in"], k: int, *, name: str = "gradient"
) -> Int64[Tensor, " kept"]:
    """Flat indices of the k entries of largest magnitude, rising.

    A random sample guesses a threshold that a little over k entries should reach; the exact
    choice is then among those candidates. Where the guess was too high, the reference takes over.

    Args:
        gradient: the gradient in the basis.
        k: entries to keep.
        name: what to call the gradient in errors.

    Returns:
        At most k indices into the flattened gradient.

    Raises:
        InvalidInput: when k is below 1.
        NonFiniteGradient: when the gradient holds NaN or infinity.
    """
    flat = _checked(gradient, k, name)
    size = flat.numel()
    if size < _FAST_FROM or k > _FAST_UP_TO * size:
        return _exact(flat, k)
    threshold = _guess_threshold(flat, k)
    candidates = _entries_from(flat, threshold)
    if threshold == 0 or candidates.numel() < k:
        return _exact(flat, k)
    return candidates[_exact(flat[candidates], k)]


def largest_entries_reference(
    gradient: Float[Tensor, "r_out r_in"], k: int, *, name: str = "gradient"
) -> Int64[Tensor, " kept"]:
    """The same by `torch.topk` over the whole gradient; see `largest_entries`."""
    flat = _checked(gradient, k, name)
    magnitudes = flat.abs()
    threshold = magnitudes.topk(min(k, flat.numel())).values[-1]
    above = (magnitudes > threshold).nonzero().flatten()
    ties = ((magnitudes == threshold) & (magnitudes > 0)).nonzero().flatten()
    return torch.cat([above, ties[: k - above.numel()]]).sort().values


def _checked(gradient: Tensor, k: int, name: str) -> Tensor:
    if k < 1:
        raise InvalidInput(f"{name}: expected to keep at least 1 entry, got k = {k}")
    check_finite(gradient, name)
    return gradient.flatten()


def check_finite(gradient: Tensor, name: str) -> None:
    """Refuse a gradient with NaN or infinity.

    Raises:
        NonFiniteGradient: says how many entries are not finite.
    """
    # NaN and infinity survive a sum; so does an overflow, hence the second, slower look. Ranks
    # that hold a part each have to find the same.
    if bool(whole(gradient.sum()).isfinite()):
        return
    bad = int(whole((~gradient.isfinite()).sum()))
    if bad:
        raise NonFiniteGradient(
            f"{name}: {bad} of {gradient.numel()} entries are NaN or infinite; nothing was "
            "changed. Lower the learning rate, or look for the batch that did it"
        )


def _exact(flat: Float[Tensor, " n"], k: int) -> Int64[Tensor, " kept"]:
    magnitudes = flat.abs()
    if k >= flat.numel():
        return magnitudes.nonzero().flatten()
    threshold = _kth_largest(magnitudes, k)
    chosen = magnitudes > threshold
    if threshold > 0:
        ties = (magnitudes == threshold).nonzero().flatten()
        chosen[ties[: k - int(chosen.sum())]] = True
    return chosen.nonzero().flatten()


def _kth_largest(magnitudes: Float[Tensor, " n"], k: int) -> Tensor:
    return magnitudes.kthvalue(magnitudes.numel() - k + 1).values


def _guess_threshold(flat: Float[Tensor, " n"], k: int) -> Tensor:
    # A seed of its own: the answer does not depend on it, and the user's stream is not disturbed.
    generator = torch.Generator(flat.device).manual_seed(0)
    places = torch.randint(flat.numel(), (_SAMPLE,), generator=generator, device=flat.device)
    expected = _SAMPLE * k / flat.numel()
    rank = math.ceil(expected + _MARGIN * math.sqrt(expected) + 1)
    return _kth_largest(flat[places].abs(), min(rank, _SAMPLE))


def _entries_from(flat: Float[Tensor, " n"], threshold: Tensor) -> Int64[Tensor, " candidates"]:
    piece = _CPU_PIECE if flat.device.type == "cpu" else flat.numel()
    return torch.cat(
        [
            (part.abs() >= threshold).nonzero().flatten() + start * piece
            for start, part in enumerate(torch.split(flat, piece))
        ]
    )
