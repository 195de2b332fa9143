"""How far two bases lie apart, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import degrees
from statistics import median

from sparsegrad_shared.bases import BasisDifference, BasisManifest, GroupDifference

from .tables import Row, share_text

DIFFERENCE_COLUMNS = (
    "group", "side", "columns", "median angle", "largest angle", "shared", "by chance",
)  # fmt: skip
_SAME = 0.999  # share of a subspace from which two count as the same
_CLOSE = 0.9
_CHANCE = 1.5  # times what random subspaces share


def difference_rows(difference: BasisDifference, manifest: BasisManifest) -> list[Row]:
    """Angles in degrees, and the share of the subspace that both bases have."""
    return [
        (
            group,
            side,
            str(len(angles)),
            f"{degrees(median(angles)):.1f}",
            f"{degrees(max(angles)):.1f}",
            share_text(shared),
            share_text(chance),
        )
        for group, side, angles, shared, chance in _sides(difference, manifest)
    ]


def sentences(difference: BasisDifference, manifest: BasisManifest) -> list[str]:
    """What the numbers mean, a sentence for each group."""
    found: dict[str, list[str]] = {}
    for group, side, angles, shared, chance in _sides(difference, manifest):
        found.setdefault(group, []).append(f"{side}s {_meaning(shared, chance, len(angles))}")
    return [f"{group}: {'; '.join(sides)}." for group, sides in found.items()]


def as_data(difference: BasisDifference, manifest: BasisManifest) -> dict[str, object]:
    """The same for other programs: angles in degrees, shares from 0 to 1."""
    return {
        "a": difference.a,
        "b": difference.b,
        "groups": [
            {
                "group": group,
                "side": side,
                "columns": len(angles),
                "angles_degrees": [degrees(angle) for angle in angles],
                "shared": shared,
                "shared_by_chance": chance,
                "meaning": _meaning(shared, chance, len(angles)),
            }
            for group, side, angles, shared, chance in _sides(difference, manifest)
        ],
    }


def _sides(
    difference: BasisDifference, manifest: BasisManifest
) -> Iterator[tuple[str, str, Sequence[float], float, float]]:
    """Group, side, angles, share of the subspace, and what random subspaces would share."""
    for group in difference.groups:
        yield from _sides_of(group, manifest)


def _sides_of(
    group: GroupDifference, manifest: BasisManifest
) -> Iterator[tuple[str, str, Sequence[float], float, float]]:
    extents = manifest.group(group.name)
    yield group.name, "input", group.angles_in, group.shared_in, group.rank_in / extents.d_in
    yield group.name, "output", group.angles_out, group.shared_out, group.rank_out / extents.d_out


def _meaning(shared: float, chance: float, columns: int) -> str:
    which = f"the {columns} leading directions"
    if shared >= _SAME:
        return f"have the same subspace in {which}"
    if shared >= _CLOSE:
        return f"have nearly the same subspace in {which} ({share_text(shared)})"
    if shared < _CHANCE * chance:
        return f"have no more in common in {which} than random subspaces would"
    return f"share {share_text(shared)} of {which}, and differ in the rest"
