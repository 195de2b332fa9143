"""The exact choice of the largest entries, against `torch.topk`: time, in turns, and the same set.

python benchmarks/selection.py [--shape 11008 4096] [--density 0.0027] [--rounds 7] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import device, machine
from torch import Tensor

from sparsegrad_client.selection import largest_entries


def by_topk(gradient: Tensor, k: int) -> Tensor:
    """What the published code does."""
    return gradient.flatten().abs().topk(k, sorted=False).indices


def measure(shape: tuple[int, int], density: float, rounds: int) -> dict[str, Any]:
    """Seconds of both, each round one of each on the same gradient."""
    k = round(density * shape[0] * shape[1])
    # Heavy tails, as gradients have them in a basis: a normal number times a falling size.
    torch.manual_seed(0)
    scale = torch.arange(1, shape[1] + 1, device=device()) ** -0.5
    gradient = torch.randn(shape, device=device()) * scale
    seconds: dict[str, list[float]] = {"ours": [], "topk": []}
    for _ in range(rounds):
        for name, choose in (("ours", largest_entries), ("topk", by_topk)):
            start = time.perf_counter()
            chosen = choose(gradient, k)
            if gradient.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
            if name == "ours":
                ours = chosen
    same = torch.equal(ours, chosen.sort().values)
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["topk"], strict=True)]
    return {
        "shape": shape,
        "k": k,
        "seconds": {name: statistics.median(own) for name, own in seconds.items()},
        "ratio": statistics.median(ratios),
        "same_set": same,
    }


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(11008, 4096))
    parser.add_argument("--density", type=float, default=0.0027, help="the paper's for LLaMA-2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    found = measure((options.shape[0], options.shape[1]), options.density, options.rounds)
    print(f"{machine()}\n")
    print("| gradient | k | ours, ms | torch.topk, ms | share | same set |")
    print("| --- | --- | --- | --- | --- | --- |")
    ours, topk = (1000 * found["seconds"][name] for name in ("ours", "topk"))
    shape = " x ".join(map(str, found["shape"]))
    print(
        f"| {shape} | {found['k']:,} | {ours:.0f} | {topk:.0f} | {found['ratio']:.3f} "
        f"| {found['same_set']} |"
    )
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
