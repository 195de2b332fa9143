"""The figures of `method.md`, from the report of a real calibration, by the client's own functions.

::

    python docs/figures/draw.py             # draw again from report.json
    python docs/figures/draw.py --measure   # calibrate MiniLM first: a minute on two cores

`report.json` is the report of the basis that the tutorial's data and thirty steps give.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from sparsegrad_client.report.figures import energy_map, spectra, svg, touched_entries
from sparsegrad_shared.report import BasisReport

HERE = Path(__file__).parent
REPORT = HERE / "report.json"
GROUP = "output"
LENGTH = 48  # tokens, as in the tutorial


def measure() -> BasisReport:
    """Calibrate MiniLM on Python's language reference; the report of the basis."""
    from pydoc_data.topics import topics

    import datasets
    import torch

    from sparsegrad_client import calibrate
    from sparsegrad_client.data.tables import Table
    from sparsegrad_client.quickstart.run import minilm
    from sparsegrad_client.quickstart.topics import passages, split
    from sparsegrad_client.report.reading import cached_report
    from sparsegrad_client.training.tasks import prepare

    drawn, _ = split(passages(topics), seed=0, train=100, held_out=40)
    rows = {"text": [row.text for row in drawn], "part": [row.part for row in drawn]}
    table = Table("python-parts", datasets.Dataset.from_dict(rows))
    task = prepare(minilm(), table, label_column="part", max_length=LENGTH, device="cpu", seed=0)
    torch.manual_seed(0)
    batches = task.batches(table, batch_size=16, seed=0)
    basis = calibrate(task.model, batches, "local/figures", source=task.model_source)
    return cached_report(basis.digest)


def figures(report: BasisReport) -> Mapping[str, Figure]:
    """The figures by the names of their files, without the ending."""
    group = next(group for group in report.groups if group.name == GROUP)
    if group.sample is None:
        raise SystemExit(f"{REPORT}: group {GROUP} has no sample of a gradient; run with --measure")
    return {
        "energy-map": energy_map(group.sample, group.density),
        "touched-entries": touched_entries(group.sample, group.density),
        "spectra": spectra(group),
    }


def main() -> None:
    """Measure, if asked to, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="calibrate first")
    if parser.parse_args().measure:
        REPORT.write_text(measure().model_dump_json(indent=1) + "\n")
    report = BasisReport.model_validate_json(REPORT.read_bytes())
    for name, figure in figures(report).items():
        (HERE / f"{name}.svg").write_text(svg(figure), encoding="utf-8")


if __name__ == "__main__":
    main()
