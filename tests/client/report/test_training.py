"""The table at the end of a training."""

from __future__ import annotations

from dataclasses import replace

from sparsegrad_client.report.training import MOST_GROUPS, outcome_rows
from sparsegrad_client.training.evaluation import Evaluation
from sparsegrad_client.training.outcome import Fit, Outcome, Recalibrated

FITS = Fit(density=0.01, energy=0.62, original=0.4, calibration=0.7, misfit=None)
MISFIT = Fit(density=0.01, energy=0.31, original=0.44, calibration=0.7, misfit=150)
OUTCOME = Outcome(
    before=Evaluation(0.7, 0.5),
    after=Evaluation(0.4, 0.8),
    losses=[0.7, 0.5, 0.4],
    engine="folded",
    selection="dynamic",
    sparse_values=1000,
    entries=10,
    touched=30,
    head_values=5,
    model_values=2000,
    adapter_bytes=1500,
    seconds=2.0,
    fits={"up": FITS, "down": MISFIT},
)


def _rows(outcome: Outcome) -> dict[str, list[str]]:
    return {label: values for label, *values in outcome_rows(outcome, "accuracy")}


def test_each_groups_fit_stands_beside_the_calibrations() -> None:
    rows = _rows(OUTCOME)
    assert rows["energy in the largest 1%, up"] == ["70.0%", "62.0%"]
    assert rows["energy in the largest 1%, down"] == [
        "70.0%",
        "31.0%, does not fit since step 150 (44.0% without a basis)",
    ]


def test_of_many_groups_those_that_do_not_fit_are_named() -> None:
    many = dict.fromkeys(map(str, range(MOST_GROUPS)), FITS) | {"odd": MISFIT}
    rows = _rows(replace(OUTCOME, fits=many))
    energies = [label for label in rows if label.startswith("energy")]
    assert energies == ["energy in the largest 1%, odd"]
    assert rows["groups that the basis fits"] == ["", f"{MOST_GROUPS} of {MOST_GROUPS + 1}"]


def test_a_basis_without_a_judgement_is_no_misfit() -> None:
    rows = _rows(replace(OUTCOME, fits={"up": replace(FITS, calibration=None)}))
    assert rows["energy in the largest 1%, up"] == ["-", "62.0%"]


def test_a_change_of_basis_stands_there_with_both_energies() -> None:
    change = Recalibrated(16, "team/a@1", "team/a@2", ("why",), {"up": (0.7, 0.8)})
    rows = _rows(replace(OUTCOME, recalibrated=change))
    assert rows["basis, from step 16 on"] == ["team/a@1", "team/a@2"]
    assert rows["energy when calibrated, up"] == ["70.0%", "80.0%"]
