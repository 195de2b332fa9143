"""How far two published bases lie apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sparsegrad_shared.bases import BasisDifference, BasisGroup, BasisManifest, GroupDifference
from sparsegrad_shared.errors import CorruptFile, InvalidInput, ShapeMismatch

from ..hosvd import principal_angles
from ..store.bases import BasisStore

LEADING = 64  # columns compared at most: whole bases all span the same space


def difference(store: BasisStore, a: BasisManifest, b: BasisManifest) -> BasisDifference:
    """Principal angles between the leading columns of two bases, for each group of both.

    Raises:
        InvalidInput: when they have no group in common.
        ShapeMismatch: when a group has two shapes; names it, and both.
        CorruptFile: when a file cannot be read.
    """
    others = {group.name: group for group in b.groups}
    pairs = [(group, others[group.name]) for group in a.groups if group.name in others]
    if not pairs:
        names = [", ".join(group.name for group in manifest.groups) for manifest in (a, b)]
        raise InvalidInput(f"the bases have no group in common: {names[0]} and {names[1]}")
    for ours, theirs in pairs:
        _check_shapes(ours, theirs)
    digests = a.digest(), b.digest()
    return BasisDifference(
        a=digests[0],
        b=digests[1],
        groups=tuple(_compare(store, digests, ours, theirs) for ours, theirs in pairs),
    )


def _check_shapes(a: BasisGroup, b: BasisGroup) -> None:
    if (a.d_out, a.d_in) != (b.d_out, b.d_in):
        raise ShapeMismatch(
            f"group {a.name}: {a.d_out} by {a.d_in} in one basis, {b.d_out} by {b.d_in} in the "
            "other: are they of one model?"
        )


def _compare(
    store: BasisStore, digests: tuple[str, str], a: BasisGroup, b: BasisGroup
) -> GroupDifference:
    rank_in = min(a.rank_in, b.rank_in, LEADING)
    rank_out = min(a.rank_out, b.rank_out, LEADING)
    paths = [
        store.file(digest, group.file.name) for digest, group in zip(digests, (a, b), strict=True)
    ]
    U, V = (
        [_leading(path, name, rank) for path in paths]
        for name, rank in (("U", rank_in), ("V", rank_out))
    )
    return GroupDifference(
        name=a.name,
        rank_in=rank_in,
        rank_out=rank_out,
        angles_in=tuple(float(angle) for angle in principal_angles(U[0], U[1])),
        angles_out=tuple(float(angle) for angle in principal_angles(V[0], V[1])),
    )


def _leading(path: Path, name: str, rank: int) -> NDArray[np.floating[Any]]:
    """The leading columns of a tensor; nothing else of the file is read."""
    try:
        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_slice(name)[:, :rank])
    except SafetensorError as error:
        raise CorruptFile(f"{path.name}: cannot be read: {error}") from None
