"""Write the tables and pictures of the documentation from the results that are committed.

    python benchmarks/page.py

A table of `docs/evidence.md` stands between two comments, ``<!-- evidence: NAME -->`` and
``<!-- end -->``; what is between them is written anew. Pictures go to ``docs/figures/evidence``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
FIGURES = ROOT / "docs" / "figures" / "evidence"
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


def all_tables(runs: Sequence[Run], speed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Every table by its name: those of the studies, and quality beside cost."""
    made = {name: table(study.lines(runs), study.tasks) for name, study in STUDIES.items()}
    return made | {"gains": gains_table(costed_lines(runs, speed), speed)}


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


def all_figures(runs: Sequence[Run], speed: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Every picture that there are runs for, by the name of its file."""
    made = {
        name: scores(study.lines(runs), tasks, _ours(study))
        for name, study in STUDIES.items()
        if (tasks := compared(study.lines(runs), study.tasks))
    }
    lines = costed_lines(runs, speed)
    # A mean compares only over tasks that every one of them was run on.
    tasks = [task for task in GLUE if all(line.scores(task) for line in lines)]
    return made | {"gains": gains(lines, tasks, costs_of(speed), OURS)}


def shown_figures(text: str) -> list[str]:
    """The names of the pictures that the page shows."""
    return re.findall(r"\(figures/evidence/(\S+)\.svg\)", text)


def _ours(study: Study) -> list[str]:
    return [row.label for row in study.rows if row.method.partition("-")[0] in OURS]


def read_speed(path: Path = RESULTS / "training-minilm.json") -> list[dict[str, Any]]:
    """The rows of `training.py`."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def main() -> None:
    """Write the page and the pictures that it shows."""
    runs, speed = read_runs(RESULTS / "evidence.jsonl"), read_speed()
    text = filled_in(PAGE.read_text(encoding="utf-8"), all_tables(runs, speed))
    PAGE.write_text(text, encoding="utf-8")
    figures = all_figures(runs, speed)
    for name in shown_figures(text):
        (FIGURES / f"{name}.svg").write_text(svg(figures[name]), encoding="utf-8")
        print(f"docs/figures/evidence/{name}.svg")


if __name__ == "__main__":
    main()
