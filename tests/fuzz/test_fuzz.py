"""A small share of the fuzzer: other cases at each run, whose seed is printed.

`python tests/fuzz/fuzz.py` is the whole of it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from support.fuzz.campaign import run

CASES = 300


def test_bad_input_is_refused_in_time_and_good_input_taken_meanwhile(tmp_path: Path) -> None:
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    outcome = run(tmp_path, CASES, seed, say=print, rounds=1)
    said = "\n".join(map(str, outcome.complaints))
    assert not outcome.complaints, (
        f"python tests/fuzz/fuzz.py --cases {CASES} --seed {seed}\n{said}"
    )
    assert outcome.tally.total >= CASES
    assert outcome.tally.answers["upload: good", "201"] > 0
