"""Write the tables and pictures of the documentation from the results that are committed.

    python benchmarks/page.py

A table of `docs/evidence.md` stands between two comments, ``<!-- evidence: NAME -->`` and
``<!-- end -->``; what is between them is written anew. Pictures go to ``docs/figures/evidence``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from addition.judgements import Judgement, Judgements
from addition.tables import scores_of, show
from evidence.plots import Cost, gains, scores
from evidence.results import Run, read_runs
from evidence.studies import STUDIES, Study
from evidence.tables import Line, compared, table
from evidence.tasks import GLUE
from machine import ROOT
from matplotlib.figure import Figure
from methods import OURS

from sparsegrad_client.report.figures import svg

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "evidence.md"
PICTURES = ROOT / "docs" / "figures" / "evidence"
_PART = re.compile(r"(?<=<!-- evidence: )(?P<name>\S+) -->\n.*?(?=<!-- end -->)", re.DOTALL)


def filled_in(text: str, tables: Mapping[str, str]) -> str:
    """A page whose tables are these.

    Raises:
        KeyError: when a comment names no table.
    """

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        return f"{name} -->\n\n{tables[name]}\n\n"

    return _PART.sub(part, text)


@dataclass(frozen=True)
class Figures:
    """What is committed.

    Attributes:
        runs: of the studies.
        sums: of adapters.
        speed: rows of `training.py`.
    """

    runs: Sequence[Run]
    sums: Sequence[Judgement]
    speed: Sequence[Mapping[str, Any]]

    @property
    def added(self) -> list[str]:
        """The tasks whose adapters were added."""
        return [name for name in GLUE if any(made.asked.task == name for made in self.sums)]


def read_figures(folder: Path = RESULTS) -> Figures:
    """Read what is committed."""
    speed = json.loads((folder / "training-minilm.json").read_text())["rows"]
    sums = list(Judgements(folder / "addition.jsonl"))
    return Figures(read_runs(folder / "evidence.jsonl"), sums, speed)


def all_tables(figures: Figures) -> dict[str, str]:
    """Every table by its name: the studies', quality beside cost, and the sums'."""
    made = {name: table(study.lines(figures.runs), study.tasks) for name, study in STUDIES.items()}
    return made | {
        "gains": gains_table(costed_lines(figures.runs, figures.speed), figures.speed),
        "adding": show(figures.sums, figures.added),
    }


def costs_of(speed: Sequence[Mapping[str, Any]]) -> dict[str, Cost]:
    """What methods cost, beside regular fine-tuning."""
    regular = next(row for row in speed if row["method"] == "regular")
    return {
        row["method"]: Cost(row["times_regular"], row["peak_bytes"] / regular["peak_bytes"])
        for row in speed
    }


def costed_lines(runs: Sequence[Run], speed: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Of the methods that have runs, those whose cost was measured."""
    costs = costs_of(speed)
    return [line for line in STUDIES["quality"].lines(runs) if line.all and line.label in costs]


def gains_table(lines: Sequence[Line], speed: Sequence[Mapping[str, Any]]) -> str:
    """The paper's tables 3 and 4 side by side."""
    costs = costs_of(speed)
    peaks = {row["method"]: row["peak_bytes"] / 2**20 for row in speed}
    tasks = [task for task in GLUE if any(line.scores(task) for line in lines)]
    rows = [["", "values a step", "x regular's speed", "peak memory, MiB", *tasks]]
    rows.append(["---"] * len(rows[0]))
    for line in lines:
        means = [line.mean(task) for task in tasks]
        rows.append([
            line.label,
            f"{line.all[0].values:,}",
            f"{costs[line.label].speed:.2f}",
            f"{peaks[line.label]:,.0f}",
            *("" if mean is None else f"{mean:.3f}" for mean in means),
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def all_pictures(figures: Figures) -> dict[str, Figure]:
    """Every picture that there are runs for, by the name of its file."""
    made = {
        name: scores(_scores(lines, tasks), tasks, _ours(study))
        for name, study in STUDIES.items()
        if (tasks := compared(lines := study.lines(figures.runs), study.tasks))
    }
    if figures.added:
        sums = scores_of(figures.sums, figures.added)
        made["adding"] = scores(sums, figures.added, [name for name in sums if _is_ours(name)])
    lines = costed_lines(figures.runs, figures.speed)
    # A mean compares only over tasks that every one of them was run on.
    tasks = [task for task in GLUE if all(line.scores(task) for line in lines)]
    return made | {"gains": gains(lines, tasks, costs_of(figures.speed), OURS)}


def shown_pictures(text: str) -> list[str]:
    """The names of the pictures that the page shows."""
    return re.findall(r"\(figures/evidence/(\S+)\.svg\)", text)


def _scores(lines: Sequence[Line], tasks: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    return {line.label: {task: line.scores(task) for task in tasks} for line in lines}


def _ours(study: Study) -> list[str]:
    return [row.label for row in study.rows if _is_ours(row.method)]


def _is_ours(name: str) -> bool:
    return re.split("[-,]", name)[0] in OURS


def main() -> None:
    """Write the page and the pictures that it shows."""
    figures = read_figures()
    text = filled_in(PAGE.read_text(encoding="utf-8"), all_tables(figures))
    PAGE.write_text(text, encoding="utf-8")
    pictures = all_pictures(figures)
    for name in shown_pictures(text):
        (PICTURES / f"{name}.svg").write_text(svg(pictures[name]), encoding="utf-8")
        print(f"docs/figures/evidence/{name}.svg")


if __name__ == "__main__":
    main()
