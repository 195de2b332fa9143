"""A small share of the fuzzer: other cases at each run, whose seed is printed.

`python tests/fuzz/fuzz.py` is the whole of it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from support.fuzz.campaign import run
from support.fuzz.documents import Documents
from support.fuzz.tally import Tally
from support.fuzz.target import running

CASES = 300
DOCUMENTS = 200


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


def test_postgresql_refuses_nothing_that_reaches_it(tmp_path: Path, postgres_url: str) -> None:
    """Its texts and numbers are narrower than SQLite's."""
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")  # noqa: T201
    tally = Tally(DOCUMENTS, print)
    with running(tmp_path, catalog_url=postgres_url) as target:
        documents = Documents(target, tally)
        for case in range(DOCUMENTS):
            documents.send(f"{seed}/{case}")
        assert not target.faults()
    assert not tally.complaints, "\n".join(map(str, tally.complaints))
