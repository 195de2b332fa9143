"""Kill -9 at every point: before each operation that changes the disk, one after the other.

    python tests/faults/crash_points.py [--trial server] [--every 1]

Random kills rarely meet a window of a millisecond; here each has its turn, over one small
calibration. Every line is a point that was met, and what would have been done there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
# Before NumPy is there: a process that is forked must not have threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from support.faults.crashes import POINTS, Crashes


def main() -> None:
    """Go through the points of each trial, until the process lives on to its end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trial", choices=POINTS, help="only this one")
    parser.add_argument("--every", type=int, default=1, help="take every so-manieth point")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sparsegrad-faults-") as folder:
        crashes = Crashes(Path(folder))
        for name in [arguments.trial] if arguments.trial else POINTS:
            for point in count(1, arguments.every):
                operation = crashes.hold(name, point)
                _say(f"{name} {point}: {operation or 'lived on to its end'}")
                if operation is None:
                    break


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
