"""What a calibration will take, told before it starts. Pure arithmetic on its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsegrad_shared.calibrations import Estimate, GroupSpec, HosvdOptions
from sparsegrad_shared.framing import ITEM_SIZES

from .eigen import FILTER_DEGREE, OVERSAMPLING, choose_solver

# A dense symmetric eigenproblem with all vectors takes some 9 n³ operations (Golub and Van Loan,
# Matrix Computations, section 8.3: 4/3 n³ to tridiagonal form, the rest for the vectors).
EIGH_OPERATIONS = 9.0
SUBSPACE_STEPS = 6  # assumed: enough for spectra that fall as 1/k; flat ones take more
SOLVE_COPIES = 5  # n × n: the sum, LAPACK's copy and twice its workspace, the ordered vectors
SUBSPACE_BLOCKS = 12  # n × (rank + OVERSAMPLING); 11 were seen at n = 4096, rank 64


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second. The defaults are those of 2 cores, rounded down.

    Attributes:
        product: operations of a float32 product, FLOP/s.
        eigen: operations of a float64 eigenproblem, FLOP/s.
    """

    product: float = 2e11
    eigen: float = 8e10


def estimate_calibration(
    groups: Sequence[GroupSpec], options: HosvdOptions, rates: Rates | None = None
) -> Estimate:
    """Disk, memory and time of a calibration; upper bounds, but for the machine's speed.

    Disk counts dense gradients uncompressed, the stored partial sums and the published basis.
    Memory is that of one worker, which takes the groups in turn. Time runs from the finish, as
    though no gradient had been summed before it.

    Args:
        groups: the manifest's.
        options: the manifest's; an energy is taken for full rank, as its rank is not known yet.
        rates: the machine's speed.
    """
    speed = rates or Rates()
    return Estimate(
        disk_bytes=sum(_disk_bytes(group, options.rank) for group in groups),
        memory_bytes=max((_memory_bytes(group, options.rank) for group in groups), default=0),
        seconds=sum(_seconds(group, options.rank, speed) for group in groups),
    )


def _disk_bytes(group: GroupSpec, rank: int | None) -> int:
    gradient = ITEM_SIZES[group.dtype] * group.d_out * group.d_in
    sums = 8 * (group.d_out**2 + group.d_in**2)
    basis = sum((4 * size + 8) * _kept(size, rank) for size in (group.d_out, group.d_in))
    return group.slots * gradient + sums + basis


def _memory_bytes(group: GroupSpec, rank: int | None) -> int:
    """The larger of two peaks: a gradient in three copies, and the larger eigenproblem."""
    working = ITEM_SIZES["float64" if group.dtype == "float64" else "float32"]
    summing = 3 * working * group.d_out * group.d_in
    sizes = (group.d_out, group.d_in)
    solving = max(_solving_bytes(size, rank) for size in sizes)
    bases = 8 * sum(size * _kept(size, rank) for size in sizes)
    return 8 * (group.d_out**2 + group.d_in**2) + max(summing, solving + bases)


def _solving_bytes(size: int, rank: int | None) -> int:
    """Beside the sum itself."""
    if rank is None or choose_solver(size, rank) == "eigh":
        return 8 * (SOLVE_COPIES - 1) * size**2
    return 8 * SUBSPACE_BLOCKS * size * (rank + OVERSAMPLING)


def _seconds(group: GroupSpec, rank: int | None, rates: Rates) -> float:
    d_out, d_in = group.d_out, group.d_in
    sums = group.gradients * d_out * d_in * (d_out + d_in)
    rotations = 2 * group.held_out * d_out * d_in * (_kept(d_out, rank) + _kept(d_in, rank))
    solving = sum(_eigen_operations(size, rank) for size in (d_out, d_in))
    return (sums + rotations) / rates.product + solving / rates.eigen


def _eigen_operations(size: int, rank: int | None) -> float:
    if rank is None or choose_solver(size, rank) == "eigh":
        return EIGH_OPERATIONS * size**3
    block = rank + OVERSAMPLING
    products = 2 * size**2 * block * FILTER_DEGREE
    orthonormalization = 8 * size * block**2
    return float(SUBSPACE_STEPS * (products + orthonormalization))


def _kept(size: int, rank: int | None) -> int:
    return size if rank is None else min(rank, size)
