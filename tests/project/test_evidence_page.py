"""The page of evidence: its tables and pictures are made from the committed results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "evidence.md"
PICTURES = ROOT / "docs" / "figures" / "evidence"


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> Iterator[None]:
    """Their modules can be imported, as their programs import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


def test_its_tables_are_those_of_the_results() -> None:
    from page import all_tables, filled_in, read_figures

    text = PAGE.read_text(encoding="utf-8")
    tables = all_tables(read_figures())
    assert filled_in(text, tables) == text, "python benchmarks/page.py writes it"


def test_a_table_takes_the_place_of_what_stood_between_its_comments() -> None:
    from page import filled_in

    old = (
        "a\n<!-- evidence: speed -->\nold\n<!-- end -->\nb\n<!-- evidence: cost -->\n<!-- end -->\n"
    )
    new = filled_in(old, {"speed": "| 1 |", "cost": "| 2 |"})
    assert new == (
        "a\n<!-- evidence: speed -->\n\n| 1 |\n\n<!-- end -->\nb\n"
        "<!-- evidence: cost -->\n\n| 2 |\n\n<!-- end -->\n"
    )
    assert filled_in(new, {"speed": "| 1 |", "cost": "| 2 |"}) == new


def test_its_pictures_are_those_that_the_results_give() -> None:
    from page import all_pictures, read_figures, shown_pictures

    drawn = all_pictures(read_figures())
    shown = shown_pictures(PAGE.read_text(encoding="utf-8"))
    assert set(shown) <= set(drawn)
    assert shown
    for name in shown:
        assert "<svg" in (PICTURES / f"{name}.svg").read_text(encoding="utf-8")


def test_every_run_says_how_it_was_made() -> None:
    from evidence.results import read_runs

    for run in read_runs(RESULTS / "evidence.jsonl"):
        assert run.machine
        assert re.fullmatch(r"[0-9a-f]{12}", run.commit), run.asked  # and no file was changed
        assert {"torch", "transformers", "peft"} <= set(run.versions)
