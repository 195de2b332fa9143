"""How much a service for large layers and many calibrations takes, from this machine's own rates.

Measures what a second of one core is worth, in time of the processor, so that it does not matter
who else uses the machine: products, eigenproblems, subspace iteration; and the disk. From these it
computes bytes, memory and time of one calibration, and lets a day of calibrations arrive at one
server and k workers (`arrivals.py`). Prints the tables of `docs/capacity.md`.

    python benchmarks/capacity.py [--quick] [--ingest-megabytes 0] [--network-gigabits 10]
                                  [--day 1000] [--hours 10] [--json FILE] [--from FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from arrivals import Day, Kind, arrivals, simulate
from hosvd import gradients
from threadpoolctl import threadpool_limits

from sparsegrad_server.hosvd import GramMatrices, Rates, estimate_calibration, leading_eigenvectors
from sparsegrad_server.hosvd.eigen import FILTER_DEGREE, OVERSAMPLING, choose_solver
from sparsegrad_server.hosvd.estimate import EIGH_OPERATIONS
from sparsegrad_server.hosvd.gram import cheapest_route
from sparsegrad_shared.calibrations import GroupSpec, HosvdOptions

GIB = 1 << 30
STEPS = 30
HELD_OUT = 2  # steps
TOKENS = 512
HALF, SINGLE, DOUBLE = 2, 4, 8  # bytes of a value
WAIT_SECONDS = 600.0  # what 95 of 100 calibrations shall not wait longer than
SEED = 1
CORES = 2  # of a worker
EFFICIENCY = 0.8  # of more cores than one, assumed
INGEST_SHARE = 0.16  # of the disk's rate: what `ingest.py` gave where clients share the two cores
CLUSTER = (1, 16)  # days with workers of so many times CORES


@dataclass(frozen=True)
class Model:
    """A model's MLP as it is calibrated.

    Attributes:
        name: the model's.
        d_out: rows of one projection's weight.
        d_in: its columns.
        groups: how many projections.
        layers: of each group.
        rank: of the basis; None for all columns.
        share: of a day's calibrations.
    """

    name: str
    d_out: int
    d_in: int
    groups: int
    layers: int
    rank: int | None
    share: float

    def specs(self) -> list[GroupSpec]:
        """Its groups, as a calibration is opened with."""
        return [
            GroupSpec(
                name=f"group-{place}",
                layers=tuple(f"layer.{layer}" for layer in range(self.layers)),
                d_out=self.d_out,
                d_in=self.d_in,
                dtype="bfloat16",
                gradients=STEPS * self.layers,
                held_out=HELD_OUT * self.layers,
            )
            for place in range(self.groups)
        ]


# The paper's LLaMA setting: every third block, up and down. 8192 x 28672 is LLaMA-2-70B's down,
# and its up and gate transposed, which take the same.
MODELS = (
    Model("BERT-base, whole", 3072, 768, 2, 12, None, 0.80),
    Model("LLaMA-2-7B, rank 128", 11008, 4096, 2, 11, 128, 0.18),
    Model("LLaMA-2-7B, whole", 11008, 4096, 2, 11, None, 0.0),
    Model("LLaMA-2-70B, rank 256", 8192, 28672, 2, 27, 256, 0.02),
    Model("LLaMA-2-70B, whole", 8192, 28672, 2, 27, None, 0.0),
)


@dataclass(frozen=True)
class Machine:
    """What was measured, a second each.

    Attributes:
        product: operations of float32 Gram products, on one core.
        eigen: operations of a whole float64 eigenproblem, on one core.
        subspace: operations of subspace iteration, on one core.
        write: bytes written and fsynced, one file.
        ingest: bytes of gradients that the server takes.
        network: bytes between machines.
    """

    product: float
    eigen: float
    subspace: float
    write: float
    ingest: float
    network: float


def timed(act: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """The best of some runs."""
    found = []
    for _ in range(repeats):
        start = clock()
        act()
        found.append(clock() - start)
    return min(found)


def product_rate(d_out: int, d_in: int, repeats: int) -> float:
    """Of both Gram updates of a gradient, each half of a square product."""
    (G,) = gradients(1, d_out, d_in)
    gram = GramMatrices(d_out, d_in)
    return (
        d_out * d_in * (d_out + d_in) / timed(lambda: gram.add_dense(G), repeats, time.process_time)
    )


def eigen_rates(size: int, rank: int, repeats: int) -> tuple[float, float]:
    """Of all eigenvectors, and of the leading ones; subspace iteration counted in whole steps."""
    gram = GramMatrices(size, size)
    for G in gradients(3, size, size):
        gram.add_dense(G)
    whole = timed(lambda: leading_eigenvectors(gram.A_in), repeats, time.process_time)
    leading = timed(lambda: leading_eigenvectors(gram.A_in, rank=rank), repeats, time.process_time)
    return EIGH_OPERATIONS * size**3 / whole, subspace_operations(size, rank) / leading


def subspace_operations(size: int, rank: int) -> float:
    """Of one filtered step; how many a spectrum needs is in the measured rate."""
    return 2.0 * size**2 * (rank + OVERSAMPLING) * FILTER_DEGREE


def write_rate(megabytes: int, repeats: int) -> float:
    """Of one file, written in order and brought to the disk."""
    block = np.random.default_rng(0).bytes(1 << 20)

    def write() -> None:
        with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
            for _ in range(megabytes):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

    return megabytes * (1 << 20) / timed(write, repeats, time.perf_counter)


def measure(options: argparse.Namespace) -> Machine:
    """This machine."""
    size, rank, megabytes, repeats = (256, 4, 8, 1) if options.quick else (3072, 64, 512, 3)
    eigen, subspace = eigen_rates(size, rank, repeats)
    write = write_rate(megabytes, repeats)
    ingest = options.ingest_megabytes * 1e6 or write * INGEST_SHARE
    network = options.network_gigabits * 1e9 / 8
    return Machine(
        product_rate(4 * size // 3, size // 3, repeats), eigen, subspace, write, ingest, network
    )


@dataclass(frozen=True)
class Load:
    """What one calibration takes; bytes, and seconds of this machine."""

    model: str
    dense: float
    factored: float
    sums: float
    basis: float
    memory: float
    upload: float
    summing: float
    solving: float


def load_of(model: Model, machine: Machine) -> Load:
    """One calibration on a worker of CORES, its gradients sent in the smaller exact form."""
    d_out, d_in, slots = model.d_out, model.d_in, (STEPS + HELD_OUT) * model.layers * model.groups
    dense = HALF * d_out * d_in * slots
    factored = HALF * TOKENS * (d_out + d_in) * slots
    sums = SINGLE * (d_out**2 + d_in**2) * model.groups
    ranks = [size if model.rank is None else model.rank for size in (d_out, d_in)]
    estimates = [
        estimate_calibration([spec], HosvdOptions(rank=model.rank), Rates(machine.product))
        for spec in model.specs()
    ]
    fitted = STEPS * model.layers * model.groups
    summed = fitted * gram_operations(d_out, d_in, factored=factored < dense)
    judged = HELD_OUT * model.layers * model.groups * 2 * d_out * d_in * sum(ranks)
    solving = model.groups * sum(solve_seconds(size, model.rank, machine) for size in (d_out, d_in))
    cores = CORES * EFFICIENCY
    return Load(
        model=model.name,
        dense=dense,
        factored=factored,
        sums=sums,
        basis=model.groups * SINGLE * (d_out * ranks[0] + d_in * ranks[1]),
        memory=max(estimate.memory_bytes for estimate in estimates),
        upload=min(dense, factored) / min(machine.ingest, machine.network),
        summing=summed / machine.product / cores,
        solving=(solving + judged / machine.product) / cores,
    )


def gram_operations(d_out: int, d_in: int, *, factored: bool) -> float:
    """Of one gradient's update, as `GramMatrices` does it."""
    dense = d_out * d_in * (d_out + d_in)
    if not factored or cheapest_route(TOKENS, d_out, d_in) == "dense":
        return dense + factored * 2.0 * TOKENS * d_out * d_in
    return 4.0 * TOKENS**2 * (d_out + d_in) + TOKENS * (d_out**2 + d_in**2)


def solve_seconds(size: int, rank: int | None, machine: Machine) -> float:
    """The eigenvectors that are asked for, of one Gram matrix, on one core."""
    if rank is None or choose_solver(size, rank) == "eigh":
        return EIGH_OPERATIONS * size**3 / machine.eigen
    return subspace_operations(size, rank) / machine.subspace


def days(loads: Sequence[Load], mean: float, hours: float, times: int) -> list[Day]:
    """Days with more and more workers, until 95 of 100 wait no longer than they shall."""
    shares = {model.name: model.share for model in MODELS}
    kinds = [
        Kind(
            load.model, shares[load.model], load.upload, load.summing / times, load.solving / times
        )
        for load in loads
        if shares[load.model]
    ]
    coming = arrivals(kinds, mean, hours * 3600, SEED)
    work = sum(kind.summing + kind.solving for _, kind in coming)
    workers = max(1, int(work / (hours * 3600)))
    found: list[Day] = []
    while not found or found[-1].most > WAIT_SECONDS:
        found.append(simulate(coming, workers))
        workers = max(workers + 1, workers * 5 // 4)
    return found


def show(result: dict[str, Any]) -> None:
    """The tables in Markdown, to be quoted as they are."""
    machine = Machine(**result["machine"])
    print(f"Measured on {result['date']}:\n")
    print("| measured | a second |")
    print("| --- | --- |")
    print(f"| float32 Gram products, one core | {machine.product / 1e9:.0f} GFLOP |")
    print(f"| float64 eigenproblem, all eigenvectors, one core | {machine.eigen / 1e9:.0f} GFLOP |")
    print(f"| float64 subspace iteration, one core | {machine.subspace / 1e9:.1f} GFLOP |")
    print(f"| one file, written and fsynced | {machine.write / 1e6:.0f} MB |")
    print(f"| gradients taken by the server | {machine.ingest / 1e6:.0f} MB |")
    print(f"| network, assumed | {machine.network / 1e6:.0f} MB |")
    print()
    print(
        "| one calibration | dense bf16, GB | factored, GB | sums, GB | basis, GB "
        "| memory a worker, GiB | upload, min | sums, min | solving and report, min |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for load in (Load(**values) for values in result["loads"]):
        size = [load.dense, load.factored, load.sums, load.basis]
        minutes = [load.upload, load.summing, load.solving]
        print(
            f"| {load.model} | {' | '.join(f'{value / 1e9:.2f}' for value in size)} "
            f"| {load.memory / GIB:.1f} | {' | '.join(f'{value / 60:.1f}' for value in minutes)} |"
        )
    print()
    print(
        "| a worker has | workers | busy | median wait, min | 95 of 100 wait under, min "
        "| last basis after the day, h |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for times, found in result["days"]:
        for day in (Day(**values) for values in found):
            print(
                f"| {times * CORES} cores | {day.workers} | {day.busy:.0%} "
                f"| {day.half / 60:.1f} | {day.most / 60:.1f} | {day.over:.1f} |"
            )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small matrices, whose rates say little"
    )
    parser.add_argument(
        "--ingest-megabytes", type=float, default=0.0, help="of ingest.py, a second"
    )
    parser.add_argument("--network-gigabits", type=float, default=10.0)
    parser.add_argument("--day", type=float, default=1000.0, help="calibrations, on average")
    parser.add_argument("--hours", type=float, default=10.0, help="that they arrive in")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument(
        "--from", type=Path, dest="source", help="measure nothing: show these figures"
    )
    options = parser.parse_args()
    if options.source:
        show(json.loads(options.source.read_text()))
        return
    with threadpool_limits(1):
        machine = measure(options)
    loads = [load_of(model, machine) for model in MODELS]
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": asdict(machine),
        "loads": [asdict(load) for load in loads],
        "days": [
            (times, [asdict(day) for day in days(loads, options.day, options.hours, times)])
            for times in CLUSTER
        ],
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


if __name__ == "__main__":
    main()
