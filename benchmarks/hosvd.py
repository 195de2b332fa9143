"""The streamed HOSVD against the SVD of the two unfoldings: time, memory, agreement.

Each measurement runs in a process of its own, so that its peak memory is its own. Gradients are
made from a seed, one at a time: the streamed method holds one, the others must hold them all.

The rate of the Gram updates is N·D_out·D_in·(D_out + D_in) operations, those of two triangles,
over the time that adding the gradients takes, all checks included; the peak beside it is that of a
square float32 product of BLAS, taken between the gradients of the same run.

    python benchmarks/hosvd.py [--quick | --shape D_OUT D_IN] [--methods streamed tensorly torch]
                               [--repeats 3] [--repeats-reference 1] [--json FILE]

LLaMA-2's down projection, by the streamed method alone: --shape 4096 11008 --methods streamed
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sparsegrad_server.hosvd import Basis, GramMatrices, compute_basis, principal_angles
from sparsegrad_server.hosvd.eigen import with_fixed_signs

LEADING = 64  # columns whose subspaces are compared
INNER = 128  # rank of a gradient's structured part
REFERENCES = ("tensorly", "torch")
METHODS = ("streamed", *REFERENCES)
PEAK_EVERY = 10  # gradients
SQUARE = 3072  # most rows of the product that tells BLAS's peak

Gradient = NDArray[np.float32]


def gradients(count: int, d_out: int, d_in: int) -> Iterator[Gradient]:
    """Gradients as training gives them: shared directions of falling weight, and noise."""
    shared = np.random.default_rng(0)
    decay = (np.arange(1, INNER + 1) ** -0.75).astype(np.float32)
    left = shared.standard_normal((d_out, INNER), dtype=np.float32) * decay
    right = shared.standard_normal((INNER, d_in), dtype=np.float32) * decay[:, None]
    for step in range(count):
        own = np.random.default_rng(step + 1)
        with threadpool_limits(1):  # BLAS's own threads spin for a while after each product
            gradient = left @ own.standard_normal((INNER, INNER), dtype=np.float32) @ right
        gradient += 0.05 * own.standard_normal((d_out, d_in), dtype=np.float32)
        yield gradient


def blas_rate(factor: Gradient) -> float:
    """FLOP/s of one square float32 product."""
    start = time.perf_counter()
    factor @ factor
    return float(2 * len(factor) ** 3 / (time.perf_counter() - start))


def streamed(source: Iterator[Gradient], d_out: int, d_in: int) -> tuple[Basis, dict[str, float]]:
    """Ours; the seconds leave out the making of the gradients."""
    sums = GramMatrices(d_out, d_in)
    side = min(SQUARE, max(d_out, d_in))
    factor = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    gram: list[float] = []
    peaks: list[float] = []
    for step, gradient in enumerate(source):
        if step % PEAK_EVERY == 0:  # seldom, since it drives the sums out of the cache
            peaks += [blas_rate(factor) for _ in range(3)]
        start = time.perf_counter()
        sums.add_dense(gradient)
        gram.append(time.perf_counter() - start)
    start = time.perf_counter()
    basis = compute_basis(sums)
    solving = time.perf_counter() - start
    return basis, {
        "seconds": sum(gram) + solving,
        "gram_seconds": sum(gram),
        "gram_rate": d_out * d_in * (d_out + d_in) / statistics.median(gram),
        "blas_rate": statistics.median(peaks),
    }


def by_tensorly(source: Iterator[Gradient]) -> tuple[Basis, dict[str, float]]:
    """The reference: the SVD of tensorly's unfoldings."""
    from sparsegrad_server.hosvd.reference import reference_hosvd

    stack = list(source)
    start = time.perf_counter()
    basis = reference_hosvd(stack)
    return basis, {"seconds": time.perf_counter() - start}


def by_torch(source: Iterator[Gradient]) -> tuple[Basis, dict[str, float]]:
    """The same SVDs by torch, the library of the paper's code."""
    import torch

    stack = list(source)
    start = time.perf_counter()
    sides = []
    for unfolding in (np.concatenate(stack, axis=1), np.concatenate([G.T for G in stack], axis=1)):
        left, values, _ = torch.linalg.svd(torch.from_numpy(unfolding), full_matrices=False)
        sides.append((with_fixed_signs(left.double().numpy()), values.double().numpy() ** 2))
    seconds = time.perf_counter() - start
    (V, values_out), (U, values_in) = sides
    energy = float(values_in.sum())
    return Basis(U, V, values_in, values_out, energy), {"seconds": seconds}


def measure(method: str, count: int, d_out: int, d_in: int, output: str) -> None:
    """One measurement, in this process; prints it as JSON and leaves the subspaces in `output`."""
    source = gradients(count, d_out, d_in)
    if method == "streamed":
        basis, figures = streamed(source, d_out, d_in)
    else:
        basis, figures = {"tensorly": by_tensorly, "torch": by_torch}[method](source)
    np.savez(output, U=basis.U[:, :LEADING], V=basis.V[:, :LEADING])
    # Linux counts ru_maxrss in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**figures, "peak_bytes": peak}))


def in_fresh_process(method: str, shape: tuple[int, int, int], output: Path) -> dict[str, Any]:
    """`measure`, where nothing else has used memory yet."""
    command = [sys.executable, __file__, "--measure", method, *map(str, shape), str(output)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def repeated(
    method: str, shape: tuple[int, int, int], output: Path, repeats: int
) -> dict[str, Any]:
    """Medians over fresh processes."""
    runs = [in_fresh_process(method, shape, output) for _ in range(repeats)]
    return {
        "method": method,
        "gradients": shape[0],
        "repeats": repeats,
        **{name: statistics.median(run[name] for run in runs) for name in runs[0]},
    }


def largest_angle(a: Path, b: Path) -> float:
    """Between the leading subspaces that two methods left, the larger side's."""
    with np.load(a) as ours, np.load(b) as theirs:
        return max(float(principal_angles(ours[side], theirs[side])[-1]) for side in "UV")


def compare(
    shape: tuple[int, int, int], methods: list[str], repeats: int, repeats_reference: int
) -> list[Any]:
    """Every method on the same gradients, against the streamed one."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = {method: Path(folder) / f"{method}.npz" for method in METHODS}
        rows = [repeated("streamed", shape, outputs["streamed"], repeats)]
        for method in REFERENCES:
            if method not in methods:
                continue
            if importlib.util.find_spec(method) is None:
                print(f"{method} is not installed: left out")
                continue
            row = repeated(method, shape, outputs[method], repeats_reference)
            row["times_slower"] = row["seconds"] / rows[0]["seconds"]
            row["angle"] = largest_angle(outputs["streamed"], outputs[method])
            rows.append(row)
    return rows


def memory_by_count(d_out: int, d_in: int) -> list[Any]:
    """The streamed method's peak for more and more gradients."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "basis.npz"
        return [repeated("streamed", (n, d_out, d_in), output, 1) for n in (10, 30, 90)]


def show(rows: list[Any]) -> None:
    """A table in Markdown, to be quoted as it is."""
    print("| method | N | seconds | peak memory, MiB | times slower | largest angle |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        slower = f"{row['times_slower']:.1f}" if "times_slower" in row else ""
        angle = f"{row['angle']:.1e}" if "angle" in row else ""
        peak = row["peak_bytes"] / 2**20
        print(
            f"| {row['method']} | {row['gradients']} | {row['seconds']:.2f} | {peak:.0f} "
            f"| {slower} | {angle} |"
        )


def show_rate(row: dict[str, Any]) -> None:
    """How near the Gram updates come to what BLAS can do."""
    ours, peak = row["gram_rate"], row["blas_rate"]
    print(
        f"\nGram updates: {row['gram_seconds']:.2f} s of it, {ours / 1e9:.0f} GFLOP/s, "
        f"{ours / peak:.0%} of a square product's {peak / 1e9:.0f} GFLOP/s"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="768 x 192 instead of 3072 x 768")
    parser.add_argument("--shape", type=int, nargs=2, metavar=("D_OUT", "D_IN"))
    parser.add_argument("--gradients", type=int, default=30)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--repeats-reference", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        method, count, d_out, d_in, output = options.measure
        measure(method, int(count), int(d_out), int(d_in), output)
        return
    d_out, d_in = options.shape or ((768, 192) if options.quick else (3072, 768))
    print(f"{options.gradients} gradients of {d_out} x {d_in}, float32, {os.cpu_count()} cores\n")
    comparison = compare(
        (options.gradients, d_out, d_in),
        options.methods,
        options.repeats,
        options.repeats_reference,
    )
    show(comparison)
    show_rate(comparison[0])
    memory = []
    if options.methods != ["streamed"]:
        print("\nThe streamed method, by the number of gradients:\n")
        memory = memory_by_count(d_out, d_in)
        show(memory)
    if options.json:
        options.json.write_text(json.dumps({"comparison": comparison, "memory": memory}, indent=2))


if __name__ == "__main__":
    main()
