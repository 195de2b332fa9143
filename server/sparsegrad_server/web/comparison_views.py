"""What the comparison of two bases says, worked out from their principal angles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

from sparsegrad_shared.bases import BasisDifference, BasisGroup, BasisVersion, GroupDifference

# Shares of a subspace, and what they are called.
_WORDS = ((0.95, "nearly the same"), (0.75, "much alike"), (0.4, "alike in part"))
_AT_LEAST_BY_CHANCE = 1.5  # times the share of two random subspaces


@dataclass(frozen=True)
class SideView:
    """One side of a weight, as two bases see it.

    Attributes:
        name: Input or Output.
        rank: leading columns that were compared.
        extent: of the space that they lie in.
        shared: the share of the one subspace that lies in the other.
        angles: principal angles, degrees, rising.
    """

    name: str
    rank: int
    extent: int
    shared: float
    angles: tuple[float, ...]

    @property
    def chance(self) -> float:
        """What two random subspaces of this size share, on average."""
        return self.rank / self.extent

    @property
    def middle(self) -> float:
        """The median angle, degrees."""
        return median(self.angles)

    @property
    def largest(self) -> float:
        """The largest angle, degrees."""
        return self.angles[-1]

    @property
    def words(self) -> str:
        """The share in words."""
        for least, said in _WORDS:
            if self.shared >= least:
                return said
        return "little alike" if self.shared >= _AT_LEAST_BY_CHANCE * self.chance else "unrelated"


@dataclass(frozen=True)
class GroupView:
    """A group of both bases."""

    name: str
    sides: tuple[SideView, SideView]

    @property
    def drawn(self) -> dict[str, Any]:
        """What the picture of the group is drawn from."""
        return {side.name: side.angles for side in self.sides}


def comparable(a: BasisVersion, b: BasisVersion) -> bool:
    """Whether two bases differ, and have a group of one name and shape in common."""
    ours, theirs = (
        {(group.name, group.d_out, group.d_in) for group in basis.manifest.groups}
        for basis in (a, b)
    )
    return a.digest != b.digest and not ours.isdisjoint(theirs)


def groups_of(a: BasisVersion, difference: BasisDifference) -> list[GroupView]:
    """The groups of both bases, in the order of `a`."""
    about = {group.name: group for group in a.manifest.groups}
    return [_group(about[group.name], group) for group in difference.groups]


def _group(about: BasisGroup, group: GroupDifference) -> GroupView:
    return GroupView(
        name=group.name,
        sides=(
            _side("Input", about.d_in, group.rank_in, group.shared_in, group.angles_in),
            _side("Output", about.d_out, group.rank_out, group.shared_out, group.angles_out),
        ),
    )


def _side(name: str, extent: int, rank: int, shared: float, angles: tuple[float, ...]) -> SideView:
    return SideView(name, rank, extent, shared, tuple(math.degrees(angle) for angle in angles))
