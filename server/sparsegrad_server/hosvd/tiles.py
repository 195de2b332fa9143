"""The upper triangle of a symmetric product, tile by tile.

Half the work of the whole product. Large square tiles, since BLAS is fastest on them, but for the
diagonal, which is halved again and again: a tile on it is half wasted. At 3072 × 3072 the tiles
are 3% more than the triangle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .arrays import Float64Array, FloatArray
from .threads import side_by_side

# Of 256 to 1536 and 64 to 192, the fastest at 3072 × 768; a float32 tile fits a core's cache.
TILE = 768
DIAGONAL_TILE = 192


class Tile(NamedTuple):
    """A rectangle of a matrix: rows and columns, from and up to."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> int:
        """Entries."""
        return (self.bottom - self.top) * (self.right - self.left)


def triangle(size: int) -> list[Tile]:
    """Tiles that hold each entry on and above the diagonal once; the largest first."""
    tiles = [
        tile
        for top in range(0, size, TILE)
        for tile in _row_of_tiles(top, min(top + TILE, size), size)
    ]
    return sorted(tiles, key=lambda tile: -tile.size)


def _row_of_tiles(top: int, bottom: int, size: int) -> Iterator[Tile]:
    yield from _on_diagonal(top, bottom)
    for left in range(bottom, size, TILE):
        yield Tile(top, bottom, left, min(left + TILE, size))


def _on_diagonal(begin: int, end: int) -> Iterator[Tile]:
    if end - begin <= DIAGONAL_TILE:
        yield Tile(begin, end, begin, end)
        return
    middle = (begin + end) // 2
    yield Tile(begin, middle, middle, end)
    yield from _on_diagonal(begin, middle)
    yield from _on_diagonal(middle, end)


class Product(NamedTuple):
    """`weight · leftᵀ right`, symmetric, to be added to the upper triangle of `total`."""

    total: Float64Array
    left: FloatArray
    right: FloatArray
    weight: float


def add_products(*products: Product) -> None:
    """Add symmetric products, each taken in its factors' precision and summed in float64."""
    pieces = [(product, tile) for product in products for tile in triangle(len(product.total))]
    # By work, which is the tile's size times the length of the sums.
    pieces.sort(key=lambda piece: -piece[1].size * len(piece[0].left))
    side_by_side(_add_tiles, pieces)


def _add_tiles(pieces: Iterator[tuple[Product, Tile]]) -> None:
    buffer = np.empty(0)  # a thread's own, used again for every tile
    for (total, left, right, weight), tile in pieces:
        if buffer.dtype != left.dtype or buffer.size < tile.size:
            buffer = np.empty(tile.size, left.dtype)
        product = buffer[: tile.size].reshape(tile.bottom - tile.top, tile.right - tile.left)
        np.matmul(left[:, tile.top : tile.bottom].T, right[:, tile.left : tile.right], out=product)
        sums = total[tile.top : tile.bottom, tile.left : tile.right]
        if weight == 1:
            np.add(sums, product, out=sums)
        else:
            np.add(sums, np.multiply(product, weight, dtype=np.float64), out=sums)


def product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Left @ right, by panels of columns, so that the number of threads changes no bit.

    BLAS itself cuts long sums elsewhere when it has several threads.
    """
    columns = right.shape[1]
    result = np.empty((len(left), columns), np.result_type(left, right))

    def panels(starts: Iterator[int]) -> None:
        for start in starts:
            stop = min(start + TILE, columns)
            np.matmul(left, right[:, start:stop], out=result[:, start:stop])

    side_by_side(panels, range(0, columns, TILE))
    return result
