"""Bad input of every kind to a real server: OpenAPI, tensors, documents, raw connections.

    python tests/fuzz/fuzz.py --cases 10000 --seed 1

Without `--seed` a new one is taken; it is printed, and gives the same cases again. Ends with 1
when anything was answered with 5xx, late, or against the OpenAPI document, or when the server's
memory grew.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fuzz.campaign import run
from support.fuzz.tally import SHOWN


def main() -> int:
    """Run one campaign."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    arguments = parser.parse_args()
    _say(f"{arguments.cases} cases of seed {arguments.seed}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sparsegrad-fuzz-") as folder:
        outcome = run(Path(folder), arguments.cases, arguments.seed, _say)
    for line in outcome.lines():
        _say(line)
    complaints = outcome.complaints
    for complaint in complaints[:SHOWN]:
        _say(str(complaint))
    seconds = time.monotonic() - began
    _say(f"seed {arguments.seed}: {len(complaints)} complaints in {seconds:.0f} s")
    return 1 if complaints else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
