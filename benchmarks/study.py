"""The questions about quality, answered by runs; what was cut off goes on where it was.

    python benchmarks/study.py                          # all of them: a day on two cores
    python benchmarks/study.py quality --tasks SST-2    # one of them
    python benchmarks/study.py quality --tasks RTE --only lora folded   # some of its rows
    python benchmarks/study.py instruct --seeds 1       # with the first seed alone
    python benchmarks/study.py --quick                  # a few rows: minutes, and says nothing
    python benchmarks/study.py --show                   # the tables of what there is

`evidence/studies.py` says what each compares. Runs are lines of `results/evidence.jsonl`, and
`page.py` makes the page of the documentation from them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from evidence.cells import Budget, run_all
from evidence.results import read_runs
from evidence.studies import STUDIES, Study
from evidence.tables import table
from evidence.tasks import TASKS, Task, task
from machine import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "evidence.jsonl"
BUDGET = Budget(trials=4, seeds=(1, 2, 3))
QUICK = Budget(trials=1, seeds=(1, 2))
QUICK_RESULTS = ROOT / "build" / "evidence-quick.jsonl"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="only these of a study's")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="only these rows, by their labels")
    parser.add_argument(
        "--seeds", nargs="+", type=int, choices=BUDGET.seeds, help="only these of them"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--results", type=Path, help="another file than the committed one")
    parser.add_argument("--quick", action="store_true", help="a few rows, into a file of its own")
    parser.add_argument("--show", action="store_true", help="only print the tables")
    options = parser.parse_args()
    unknown = set(options.studies) - set(STUDIES)
    if unknown:
        parser.error(f"expected studies among {', '.join(STUDIES)}; got {', '.join(unknown)}")
    rows = {row.label for name in options.studies or STUDIES for row in STUDIES[name].rows}
    unknown = set(options.only or ()) - rows
    if unknown:
        parser.error(f"expected rows among {', '.join(sorted(rows))}; got {', '.join(unknown)}")
    return options


def _task(name: str, *, quick: bool) -> Task:
    chosen = task(name)
    return replace(chosen, rows=64, judged=32, epochs=1) if quick else chosen


def main() -> None:
    """Run what the command line asks for, and print the tables."""
    options = _options()
    results = options.results or (QUICK_RESULTS if options.quick else RESULTS)
    studies = [
        _narrowed(STUDIES[name], options.tasks, options.only) for name in options.studies or STUDIES
    ]
    if not options.show:
        tasks = {name: _task(name, quick=options.quick) for name in TASKS}
        cells = [cell for study in studies for cell in study.cells(tasks)]
        budget = QUICK if options.quick else BUDGET
        if options.seeds:
            budget = replace(budget, seeds=tuple(options.seeds))
        run_all(cells, results, tasks, budget, options.jobs)
    runs = read_runs(results)
    for study in studies:
        print(f"\n{study.name}\n\n{table(study.lines(runs), study.tasks)}")


def _narrowed(study: Study, tasks: list[str] | None, rows: list[str] | None) -> Study:
    return replace(
        study,
        tasks=tuple(name for name in study.tasks if tasks is None or name in tasks),
        rows=tuple(row for row in study.rows if rows is None or row.label in rows),
    )


if __name__ == "__main__":
    main()
