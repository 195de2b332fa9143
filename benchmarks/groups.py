"""Groups one after another on all threads, or side by side on one thread each.

Each group's gradients are summed, its two eigenproblems solved, and its basis judged, as a worker
does, but for reading and writing. Gradients are made before the clock starts; the two ways take
turns, and the medians are compared.

    python benchmarks/groups.py [--quick] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from hosvd import Gradient, gradients
from threadpoolctl import threadpool_limits

from sparsegrad_server.hosvd import GramMatrices, HeldOutReport, compute_basis
from sparsegrad_server.jobs.executors.lanes import in_lanes
from sparsegrad_server.jobs.executors.plan import GroupNeed, plan_groups
from sparsegrad_server.jobs.gradients import Steps
from sparsegrad_server.settings import Settings

Shape = tuple[int, int]

FITTED = 12
HELD_OUT = 2
MINILM = ((1536, 384), (384, 1536))
BERT = ((3072, 768), (768, 3072))
CASES = (("MiniLM", MINILM, (2, 4, 12)), ("BERT-base", BERT, (2,)))
QUICK = (("tiny", ((96, 24), (24, 96)), (2,)),)


class Unheard:
    """Nobody asks how far it is."""

    def step(self, phase: str, completed: int, total: int) -> None:
        """Say nothing."""


def compute(shape: Shape, stack: Sequence[Gradient]) -> None:
    """One group, as a worker computes it."""
    gram = GramMatrices(*shape)
    for G in stack[:FITTED]:
        gram.add_dense(G)
    basis = compute_basis(gram)
    report = HeldOutReport(basis.U.astype(np.float32), basis.V.astype(np.float32))
    for G in stack[FITTED:]:
        report.add(G)


def seconds(
    groups: Sequence[Shape], stacks: Mapping[Shape, Sequence[Gradient]], lanes: int, threads: int
) -> float:
    """How long all groups take."""

    def one(place: int, _: Steps) -> None:
        compute(groups[place], stacks[groups[place]])

    names = [str(place) for place in range(len(groups))]
    start = time.perf_counter()
    with threadpool_limits(threads):
        in_lanes(names, lanes, Unheard(), one)
    return time.perf_counter() - start


def measure(name: str, groups: Sequence[Shape], repeats: int, threads: int) -> dict[str, Any]:
    """Both ways, taking turns."""
    stacks = {shape: list(gradients(FITTED + HELD_OUT, *shape)) for shape in set(groups)}
    ways = {"in_turn": (1, threads), "side_by_side": (min(threads, len(groups)), 1)}
    runs: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, (lanes, each) in ways.items():
            runs[way].append(seconds(groups, stacks, lanes, each))
    medians = {way: statistics.median(found) for way, found in runs.items()}
    needs = [GroupNeed(str(place), max(shape), 1, 1.0) for place, shape in enumerate(groups)]
    planned = plan_groups(needs, memory=1 << 30, threads=threads)
    return {
        "model": name,
        "groups": len(groups),
        "shape": list(groups[0]),
        **medians,
        "times_faster": medians["in_turn"] / medians["side_by_side"],
        "planned": "side by side" if planned[0].lanes > 1 else "in turn",
    }


def show(rows: Sequence[Any]) -> None:
    """A table in Markdown, to be quoted as it is."""
    print("| groups | in turn, s | side by side, s | times faster | planned |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        d_out, d_in = row["shape"]
        print(
            f"| {row['groups']} of {row['model']} ({d_out} x {d_in}) | {row['in_turn']:.2f} "
            f"| {row['side_by_side']:.2f} | {row['times_faster']:.2f} | {row['planned']} |"
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny groups")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    threads = Settings(data=Path()).worker_threads
    cases = QUICK if options.quick else CASES
    rows = [
        measure(name, list(islice(cycle(shapes), count)), options.repeats, threads)
        for name, shapes, counts in cases
        for count in counts
    ]
    print(f"{FITTED} + {HELD_OUT} gradients a group, {threads} threads\n")
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"threads": threads, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
