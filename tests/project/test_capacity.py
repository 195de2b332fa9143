"""The page on capacity says what its program printed, and the simulation behind it is sound."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "benchmarks" / "capacity.py"
FIGURES = ROOT / "benchmarks" / "results" / "capacity.json"
PAGE = ROOT / "docs" / "capacity.md"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


arrivals = _load("arrivals")


def _run(*arguments: str) -> str:
    command = [sys.executable, str(PROGRAM), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _shape(printed: str) -> list[str]:
    """The heads of the tables, and the first column of what each row is of."""
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    return [row for row in rows if row.startswith(("| measured", "| one calib", "| a worker"))]


def test_the_page_holds_the_tables_that_its_figures_print() -> None:
    assert _run("--from", str(FIGURES)).strip() in PAGE.read_text()


def test_the_program_still_prints_such_tables(tmp_path: Path) -> None:
    figures = tmp_path / "capacity.json"
    printed = _run("--quick", "--day", "20", "--json", str(figures))
    assert _shape(printed) == _shape(PAGE.read_text())
    assert len(_shape(printed)) == 3
    assert _run("--from", str(figures)) == printed


kinds = st.builds(
    arrivals.Kind,
    name=st.just("kind"),
    share=st.just(1.0),
    upload=st.floats(0, 100),
    summing=st.floats(0.1, 1000),
    solving=st.floats(0.1, 1000),
)


@given(st.lists(kinds, min_size=1, max_size=3), st.integers(0, 9), st.integers(1, 20))
def test_workers_are_never_busier_than_there_are_and_do_all_the_work(
    kinds: list[object], seed: int, workers: int
) -> None:
    coming = arrivals.arrivals(kinds, 30.0, 3600.0, seed)
    day = arrivals.simulate(coming, workers)
    work = sum(kind.summing + kind.solving for _, kind in coming)
    span = coming[-1][0] - coming[0][0] + 3600 * day.over
    assert day.busy <= 1 + 1e-9
    assert day.busy * workers * span == pytest.approx(work)


@given(st.lists(kinds, min_size=1, max_size=3), st.integers(0, 9))
def test_with_a_worker_for_each_nobody_waits(kinds: list[object], seed: int) -> None:
    coming = arrivals.arrivals(kinds, 30.0, 3600.0, seed)
    assert arrivals.simulate(coming, len(coming)).most <= 1e-6


def test_a_queue_of_one_worker_waits_as_theory_says() -> None:
    # Pollaczek and Khinchine: fixed service s at utilisation u waits u s / (2 (1 - u)) on average;
    # its median is less, and both grow without bound as u nears 1.
    kind = arrivals.Kind("fixed", 1.0, 0.0, 0.5, 0.5)
    waits = [
        arrivals.simulate(arrivals.arrivals([kind], 20_000 * u, 20_000.0, 0), 1).half
        for u in (0.3, 0.6, 0.9)
    ]
    assert waits[0] < waits[1] < waits[2]
    assert waits[0] < 0.3 / (2 * 0.7) + 0.5
    assert waits[2] > 1.0
