"""Kill -9 at random over ingest and jobs, then look whether anything was lost.

    python tests/faults/kills.py --kills 200 --seed 1

Without `--seed` a new one is taken; it is printed, and gives the same calibrations, moments and
victims again (the exact instants are the machine's).
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
# Before NumPy is there: a process that is forked must not have threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from support.faults.trial import hold_trial


def main() -> None:
    """Run one campaign and its undisturbed twin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sparsegrad-faults-") as folder:
        hold_trial(Path(folder), arguments.kills, arguments.seed, say=_say)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
