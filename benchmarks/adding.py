"""Whether adapters on one basis add up to a multi-task model.

Each task trains a change of the same layers, all of them on one basis, and a head of its own. Then
every task is judged with its own head on: nothing added, its own change, the sum of all tasks'
changes, their mean, and their sum at the scale that is best on held-out rows. LoRA's changes are
added beside them. Changes are kept in a folder, and judgements are lines: what is cut off goes on.

    python benchmarks/adding.py --results sums.jsonl --folder changes
    python benchmarks/adding.py --results sums.jsonl --folder changes --basis-of CoLA RTE SST-2
    python benchmarks/adding.py --results sums.jsonl --folder changes --table
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from addition.judgements import Asked, Judgement, Judgements
from addition.shelf import Common, Shelf
from addition.tables import show, sums_of
from evidence.bases import JOINED, STEPS, Bases, recipe_of
from evidence.fine_tuning import judge
from evidence.tasks import GLUE, TASKS, Task, task
from methods import METHODS
from transformers.utils import logging

from sparsegrad_shared.errors import SparseGradError

ADDED = (
    *("folded", "folded-feedback", "folded-frozen", "folded-block", "adapter"),
    *("lora", "lora-thin"),
)


def common_of(method: str, options: argparse.Namespace, tasks: Mapping[str, Task]) -> Common:
    """What a method's changes have in common."""
    return Common(
        method=method,
        model=tasks[options.tasks[0]].place.id,
        density=options.density,
        lr=options.lr or METHODS[method].lr,
        recipe=recipe_of(METHODS[method], JOINED.join(options.basis_of), options.steps),
        calibrated=(
            {name: tasks[name].rows for name in options.basis_of} if METHODS[method].share else {}
        ),
        judged=options.judged,
    )


def asked_of(
    common: Common, options: argparse.Namespace, tasks: Mapping[str, Task]
) -> Iterator[Asked]:
    """Every judgement, seed by seed: so a table of fewer seeds is whole early."""
    for seed in options.seeds:
        for name in options.tasks:
            for each in sums_of(name, options.tasks):
                used = [tasks[part] for part in sorted({name, *each.added})]
                yield Asked(
                    common=json.dumps(common.data(), sort_keys=True),
                    task=name,
                    seed=seed,
                    trained=tuple((one.name, one.rows, one.epochs) for one in used),
                    sum=each,
                )


def run(common: Common, asked: list[Asked], options: argparse.Namespace, done: Judgements) -> None:
    """Make the judgements that are not there."""
    left = [each for each in dict.fromkeys(asked) if each not in done]
    if not left:
        return
    tasks = tasks_of(options)
    shelf = Shelf(options.folder, common, tasks, Bases(tasks))
    for each in left:
        start = time.perf_counter()
        model = shelf.model(each.task, each.seed, list(each.sum.added), each.sum.scale)
        chosen = tasks[each.task]
        data = chosen.load()
        held_out, development = (
            judge(model, data.judged(rows), chosen.metric)
            for rows in (data.held_out, data.development)
        )
        done.add(Judgement(each, held_out, development))
        what = f"{each.task} {common.method} seed {each.seed}: {each.sum.scale:.2g} x "
        what += f"({' + '.join(each.sum.added) or 'nothing'})"
        seconds = time.perf_counter() - start
        print(f"{what}: development {development.score:.4f}, {seconds:.0f} s", flush=True)


def tasks_of(options: argparse.Namespace) -> dict[str, Task]:
    """The tasks that are added, and those that make the basis."""
    own = {"rows": options.rows, "judged": options.judged, "epochs": options.epochs}
    given = {key: value for key, value in own.items() if value is not None}
    names = dict.fromkeys([*options.tasks, *options.basis_of])
    return {name: replace(task(name, options.model), **given) for name in names}


def _options() -> argparse.Namespace:
    classifiers = [name for name, each in TASKS.items() if not each.causal]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--folder", type=Path, required=True, help="keeps the changes")
    parser.add_argument("--tasks", nargs="+", choices=classifiers, default=list(GLUE))
    parser.add_argument("--methods", nargs="+", choices=ADDED, default=["folded", "lora"])
    parser.add_argument(
        *("--basis-of", "-b"),
        nargs="+",
        choices=classifiers,
        default=["CoLA"],
        help="the task whose gradients make the one basis; of several, they take turns",
    )
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--lr", type=float, help="of the layers; each method's own when not given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps that make a basis")
    parser.add_argument("--model", help="another model: a folder, a hub id or a short name")
    parser.add_argument("--rows", type=int, help="training rows, in place of each task's own")
    parser.add_argument("--judged", type=int, help="rows that judge, in place of all")
    parser.add_argument("--epochs", type=int, help="passes over them, in place of each task's own")
    parser.add_argument("--table", action="store_true", help="only show what there is")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for, and print the tables."""
    options = _options()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    done, tasks, wanted = Judgements(options.results), tasks_of(options), []
    try:
        for method in options.methods:
            common = common_of(method, options, tasks)
            asked = list(asked_of(common, options, tasks))
            if not options.table:
                run(common, asked, options, done)
            wanted += asked
    except SparseGradError as error:
        raise SystemExit(f"error: {error}") from error
    kept = set(wanted)
    print(show((made for made in done if made.asked in kept), options.tasks))


if __name__ == "__main__":
    main()
