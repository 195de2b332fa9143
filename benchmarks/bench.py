"""Every benchmark that figures of the documentation come from, one after the other.

    python benchmarks/bench.py            # a day on two cores; goes on where it was cut off
    python benchmarks/bench.py --quick    # small sizes: that all of it runs, and no figures

With the full sizes results are written beside this file, and the page of the documentation from
them; with `--quick` into ``build/bench``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from machine import ROOT

HERE = Path(__file__).parent


def commands(*, quick: bool) -> list[list[str]]:
    """What is run: a program and its arguments each."""
    results = ROOT / "build" / "bench" if quick else HERE / "results"
    small = ["--quick"] * quick
    few = ["--rows", "64", "--judged", "32", "--epochs", "1", "--seeds", "1"] * quick
    return [
        ["hosvd.py", *small, "--json", f"{results}/hosvd.json"],
        ["selection.py", "--json", f"{results}/selection.json"],
        ["training.py", *small, "--json", f"{results}/training-minilm.json"],
        ["study.py", *small, "--results", f"{results}/evidence.jsonl"],
        [
            *("adding.py", *few, "--results", f"{results}/adding.jsonl"),
            *("--folder", f"{ROOT}/build/adding{'-quick' * quick}"),
        ],
        *([] if quick else [["page.py"]]),
    ]


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    chosen = commands(quick=parser.parse_args().quick)
    (ROOT / "build" / "bench").mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    for number, (program, *arguments) in enumerate(chosen, start=1):
        minutes = (time.monotonic() - begin) / 60
        print(f"\n== {number} of {len(chosen)}, {minutes:.0f} min: {program}", flush=True)
        subprocess.run([sys.executable, str(HERE / program), *arguments], check=True)


if __name__ == "__main__":
    main()
