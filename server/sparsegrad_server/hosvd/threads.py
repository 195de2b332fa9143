"""Work that is split by us, on as many threads as linear algebra may use.

BLAS splits a product well when it is large and square. Ours are many and of all shapes, with a sum
in float64 after each that BLAS knows nothing of: so each thread does whole pieces, with a BLAS of
one thread. Which thread does which piece changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np  # noqa: F401 - its BLAS has to be there when the libraries are listed
import scipy.linalg  # noqa: F401 - and so has SciPy's
from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")


def side_by_side(work: Callable[[Iterator[Piece]], None], pieces: Sequence[Piece]) -> None:
    """Call `work` on every thread; all calls draw from one iterator over `pieces`.

    Args:
        work: does the pieces that it draws; should release the GIL for most of its time.
        pieces: the largest first, so that the threads end together.
    """
    shared = iter(pieces)  # a list's iterator: the GIL gives each piece to one thread
    allowed = _blas_threads()
    with _blas().limit(limits=1):
        # BLAS's threads are the process's, and obey the Python thread that first set them. Called
        # from another one, the pieces are done in turn, each by all of BLAS's threads.
        threads = min(allowed, len(pieces)) if _blas_threads() == 1 else 1
        if threads <= 1:
            work(shared)
            return
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work, shared) for _ in range(threads)]:
                done.result()


def _blas_threads() -> int:
    return max(int(library["num_threads"]) for library in _blas().info())


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
