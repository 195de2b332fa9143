"""How the training's gradients fitted: shares, the calibration's, and where they no longer fit."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.pictures import assert_words_can_be_read
from support.records import run_facts, run_lines, training_record

from sparsegrad_client.report.figures import fit
from sparsegrad_client.training.record import (
    BasisLine,
    FitLine,
    GroupFit,
    Line,
    MisfitLine,
    TrainingRecord,
)


def drawn(record: TrainingRecord) -> Figure:
    figure = fit(record)
    assert figure is not None
    return figure


def sampled(step: int, **energies: float) -> FitLine:
    """A sample in which as many entries hold half in the original space."""
    return FitLine(
        step=step,
        groups={
            name: GroupFit(energy=energy, original=0.5, captured=1)
            for name, energy in energies.items()
        },
    )


def dashes(figure: Figure) -> list[list[tuple[float, float]]]:
    return [
        [tuple(point) for point in line.get_xydata()]
        for line in figure.axes[0].lines
        if line.get_linestyle() == "--"
    ]


def test_shares_in_the_basis_are_drawn_and_held_against_the_original_space() -> None:
    record = training_record(run_facts(["up"]), sampled(1, up=0.75), sampled(9, up=0.25))
    basis, against = drawn(record).axes
    np.testing.assert_allclose(basis.lines[0].get_xydata(), [(1, 0.75), (9, 0.25)])
    np.testing.assert_allclose(against.lines[0].get_xydata(), [(1, 1.5), (9, 0.5)])


def test_the_calibrations_share_holds_until_there_is_a_new_basis() -> None:
    run = run_facts(["up"])
    before = run.groups["up"].calibration
    new = BasisLine(step=5, basis=run.basis, calibration={"up": 0.9})
    lines: tuple[Line, ...] = (sampled(1, up=0.5), new, sampled(9, up=0.8))
    assert dashes(drawn(training_record(run, *lines))) == [
        [(1, before), (5, before)],
        [(5, 0.9), (9, 0.9)],
    ]


@pytest.mark.parametrize("step", [0, 1, 50, 99, 100])
def test_a_new_basis_is_named_wherever_it_came(step: int) -> None:
    run = run_facts()
    change = BasisLine(step=step, basis=run.basis, calibration={"up": 0.9})
    figure = drawn(training_record(run, change, *run_lines(run)))
    assert_words_can_be_read(figure)
    for axes in figure.axes:
        assert [step, step] in [list(line.get_xdata()) for line in axes.lines]
        assert "a new basis" in {text.get_text() for text in axes.texts}


def test_a_group_whose_calibration_is_not_known_has_no_dashed_line() -> None:
    run = run_facts(["up"])
    groups = {"up": run.groups["up"].model_copy(update={"calibration": None, "density": None})}
    figure = drawn(training_record(run.model_copy(update={"groups": groups}), sampled(1, up=0.5)))
    assert dashes(figure) == []
    assert_words_can_be_read(figure)


def test_a_cross_marks_where_a_group_was_found_not_to_fit() -> None:
    misfit = MisfitLine(step=7, group="down", energy=0.3, original=0.4, calibration=0.6)
    unknown = misfit.model_copy(update={"group": "elsewhere"})
    record = training_record(
        run_facts(), sampled(1, up=0.6, down=0.5), sampled(7, up=0.6, down=0.3), misfit, unknown
    )
    figure = drawn(record)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert [tuple(line.get_xydata()[0]) for line in crosses] == [(7, 0.3)]
    assert crosses[0].get_color() == figure.axes[0].lines[1].get_color()
    assert_words_can_be_read(figure)


def test_many_groups_are_held_against_the_range_of_their_calibrations() -> None:
    run = run_facts([f"up.{place}" for place in range(12)])
    figure = drawn(training_record(run, *run_lines(run)))
    assert dashes(figure) == []
    (area,) = figure.axes[0].collections
    (path,) = area.get_paths()
    known = [group.calibration for group in run.groups.values()]
    assert path.vertices[:, 1].min() == min(known)  # type: ignore[type-var]
    assert path.vertices[:, 1].max() == max(known)  # type: ignore[type-var]


def test_a_gradient_without_energy_is_no_better_and_no_worse_in_a_basis() -> None:
    nothing = FitLine(step=1, groups={"up": GroupFit(energy=0, original=0, captured=0)})
    figure = drawn(training_record(run_facts(["up"]), nothing))
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [1])
