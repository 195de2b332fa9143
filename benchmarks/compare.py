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
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evidence.bases import Bases
from evidence.fine_tuning import fine_tune
from evidence.results import Asked, Results, Run
from evidence.search import search
from evidence.tables import SEARCH_SEED, quality
from evidence.tasks import TASKS, Data, Task, task
from methods import METHODS, Method
from transformers.utils import logging

from sparsegrad_shared.errors import InvalidInput

GLUE = ("CoLA", "RTE", "SST-2")
COMPARED = tuple(name for name in METHODS if name not in ("limit", "reference", "lora-dropout"))
FAILED = float("-inf")


@dataclass(frozen=True)
class Comparison:
    """What is run for each method.

    Attributes:
        results: the runs that there are; new ones are written there.
        bases: makes the bases.
        trials: runs that search a learning rate.
        seeds: of the runs that figures are made of.
    """

    results: Results
    bases: Bases
    trials: int
    seeds: Sequence[int]

    def run(self, method: Method, chosen: Task, data: Data, density: float) -> None:
        """Search the learning rate, then run the seeds with it."""

        def attempt(lr: float, seed: int = SEARCH_SEED) -> float:
            run = self._once(method, chosen, data, density, lr, seed)
            return FAILED if run.outcome is None else run.outcome.held_out.score

        best = search(method.lr, self.trials, attempt) if self.trials > 1 else method.lr
        for seed in self.seeds:
            attempt(best, seed)

    def _once(
        self, method: Method, chosen: Task, data: Data, density: float, lr: float, seed: int
    ) -> Run:
        asked = Asked(
            task=chosen.name,
            model=chosen.place.id,
            method=method.name,
            density=density,
            lr=lr,
            seed=seed,
            rows=len(data.train),
            epochs=chosen.epochs,
            calibration=None if method.share is None else self.bases.steps,
        )
        done = self.results.get(asked)
        if done is not None:
            return done
        start = time.perf_counter()
        basis = self.bases.of(method, chosen, data)
        try:
            outcome = fine_tune(method, chosen, data, basis, lr=lr, seed=seed, density=density)
        except InvalidInput as error:  # the loss is no longer finite: the rate is too high
            run = self.results.add(asked, None, str(error))
        else:
            run = self.results.add(asked, outcome)
        print(_line(run, time.perf_counter() - start), flush=True)
        return run


def _line(run: Run, seconds: float) -> str:
    asked = run.asked
    what = f"{asked.task} {asked.method} {asked.density:.2%} lr {asked.lr:g} seed {asked.seed}"
    if run.outcome is None:
        return f"{what}: {run.error}"
    held_out, development = run.outcome.held_out.score, run.outcome.development.score
    return f"{what}: held out {held_out:.4f}, development {development:.4f}, {seconds:.0f} s"


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
    parser.add_argument("--steps", type=int, default=30, help="training steps that make a basis")
    parser.add_argument("--model", help="another model: a folder, a hub id or a short name")
    parser.add_argument("--rows", type=int, help="training rows, in place of the task's own")
    parser.add_argument("--judged", type=int, help="rows that judge, in place of all")
    parser.add_argument("--epochs", type=int, help="passes over them, in place of the task's own")
    parser.add_argument("--full", action="store_true", help="every row, for a GPU")
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
    logging.set_verbosity_error()
    results = Results(options.results)
    if not options.table:
        comparison = Comparison(results, Bases(options.steps), options.trials, options.seeds)
        for name in options.tasks:
            chosen = _task(name, options)
            data = chosen.load()
            for density in options.densities:
                for method in options.methods:
                    comparison.run(METHODS[method], chosen, data, density)
    print(quality(list(results)))


if __name__ == "__main__":
    main()
