"""Fine-tuning methods on tasks: as many trained values, the same data in the same order.

Each method's learning rate is searched on rows of the training set that nothing is trained on, by
as many runs for every method; then seeds are run with it, and judged on the development set. Runs
are written down one by one: what is cut off goes on where it was.

    python benchmarks/compare.py --results FILE [--tasks CoLA RTE SST-2] [--methods lora folded]
    python benchmarks/compare.py --results FILE --tasks instruct --densities 0.0027
    python benchmarks/compare.py --results FILE --tasks CoLA --model bert-base --full
    python benchmarks/compare.py --results FILE --table
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from evidence.bases import STEPS, recipe_of
from evidence.cells import Budget, Cell, run_all
from evidence.results import read_runs
from evidence.tables import SEARCH_SEED, by_method, table
from evidence.tasks import GLUE, TASKS, Task, task
from methods import COMPARED, METHODS


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(GLUE))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(COMPARED))
    parser.add_argument("--densities", nargs="+", type=float, default=[0.01])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--trials", type=int, default=4, help="runs that search a learning rate")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps that make a basis")
    parser.add_argument("--model", help="another model: a folder, a hub id or a short name")
    parser.add_argument("--rows", type=int, help="training rows, in place of the task's own")
    parser.add_argument("--judged", type=int, help="rows that judge, in place of all")
    parser.add_argument("--epochs", type=int, help="passes over them, in place of the task's own")
    parser.add_argument("--full", action="store_true", help="every row, for a GPU")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--table", action="store_true", help="only show what there is")
    options = parser.parse_args()
    if SEARCH_SEED in options.seeds:
        parser.error(f"--seeds: {SEARCH_SEED} chooses the learning rates; take others")
    return options


def _task(name: str, options: argparse.Namespace) -> Task:
    chosen = task(name, options.model, full=options.full)
    own = {"rows": options.rows, "judged": options.judged, "epochs": options.epochs}
    return replace(chosen, **{key: value for key, value in own.items() if value is not None})


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    if not options.table:
        tasks = {name: _task(name, options) for name in options.tasks}
        cells = [
            Cell(chosen, name, density, recipe_of(METHODS[name], chosen.name, options.steps))
            for chosen in tasks.values()
            for density in options.densities
            for name in options.methods
        ]
        budget = Budget(options.trials, tuple(options.seeds), options.steps)
        run_all(cells, options.results, tasks, budget, options.jobs)
    lines = by_method(read_runs(options.results))
    print(table(lines, list(dict.fromkeys(task for line in lines for task in line.outcomes))))


if __name__ == "__main__":
    main()
