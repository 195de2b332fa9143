"""How a group's gradients are shared out among the workers of a cluster. Pure.

::

    gradient   0 1 2 … 7   8 … 15   …           slice: SLICE gradients, one task
    block      └─ slices 0 to BLOCK - 1 ─┘      merged by a fixed tree, then added to the sum

Slices and blocks are counted from the group's first gradient, whatever was summed before and
however many workers there are, so the same gradients are always added in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

SLICE = 8  # gradients
BLOCK = 8  # slices
BLOCK_GRADIENTS = SLICE * BLOCK

Part = TypeVar("Part")


def whole_blocks(count: int) -> int:
    """How many of the leading `count` gradients are in blocks that nothing more can join."""
    return count - count % BLOCK_GRADIENTS


def blocks(gradients: Sequence[Part]) -> list[list[tuple[Part, ...]]]:
    """The blocks of gradients that begin at a block's edge, each as its slices."""
    return [_pieces(block, SLICE) for block in _pieces(gradients, BLOCK_GRADIENTS)]


def tree(parts: Sequence[Part], merge: Callable[[Part, Part], Part]) -> Part:
    """Merge neighbours, then neighbours of those, until one is left; an odd one waits."""
    while len(parts) > 1:
        pairs = _pieces(parts, 2)
        parts = [merge(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]


def _pieces(parts: Sequence[Part], size: int) -> list[tuple[Part, ...]]:
    return [tuple(parts[start : start + size]) for start in range(0, len(parts), size)]
