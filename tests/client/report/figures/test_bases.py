"""Spectra, and the energy of every group: readable however many and however long their names."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from support.pictures import assert_words_can_be_read, pixels, pixels_of
from support.reports import group_report, spectrum

from sparsegrad_client.report.figures import energy_by_group, spectra
from sparsegrad_client.report.figures.style import SERIES
from sparsegrad_shared.report import BasisReport


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 1500), (384, 1536)])
def test_spectra_of_any_size_can_be_read(rows: int, columns: int) -> None:
    assert_words_can_be_read(spectra(group_report(rows=rows, columns=columns)))


@pytest.mark.parametrize("decay", [0.1, 1.0, 9.0])
def test_spectra_of_the_largest_layers_can_be_read(decay: float) -> None:
    wide = {"spectrum_in": spectrum(14336, decay), "spectrum_out": spectrum(11008, decay)}
    assert_words_can_be_read(spectra(group_report().model_copy(update=wide)))


def test_spectra_are_drawn_as_they_are() -> None:
    group = group_report(rows=300, columns=200)
    falling, held = spectra(group).axes
    for line, side in zip(falling.lines, (group.spectrum_in, group.spectrum_out), strict=True):
        ranks, values = line.get_data()
        assert tuple(ranks) == side.ranks
        np.testing.assert_allclose(values, np.array(side.eigenvalues) / side.eigenvalues[0])
    assert tuple(held.lines[0].get_ydata()) == group.spectrum_in.energy


def dots(axes: Axes) -> set[tuple[float, str]]:
    """The ranks that are marked, with the colours of their dots."""
    return {
        (line.get_xdata()[0], line.get_color()) for line in axes.lines if line.get_marker() == "o"
    }


def test_the_ranks_that_hold_half_90_and_99_percent_are_marked_and_said() -> None:
    group = group_report(rows=300, columns=200)
    held = spectra(group).axes[1]
    sides = group.spectrum_in, group.spectrum_out
    assert {rank for rank, _ in dots(held)} == {
        rank for side in sides for rank in (side.rank_50, side.rank_90, side.rank_99)
    }
    assert [text.get_text() for text in held.texts if text.get_text().startswith("U")] == [
        f"U {one}, V {other}"
        for one, other in zip(*((s.rank_50, s.rank_90, s.rank_99) for s in sides), strict=True)
    ]


def test_only_ranks_that_are_reached_are_marked() -> None:
    group = group_report()
    truncated = group.spectrum_in.model_copy(
        update={"energy": (0.3, 0.6), "ranks": (1, 4), "eigenvalues": (1.0, 0.2), "rank_50": 3}
    )
    held = spectra(group.model_copy(update={"spectrum_in": truncated})).axes[1]
    assert sorted(rank for rank, color in dots(held) if color == SERIES[0]) == [3]
    assert len(dots(held)) == 4


def test_eigenvalues_that_are_zero_are_drawn_as_the_least() -> None:
    flat = spectrum(3, 1.0).model_copy(update={"eigenvalues": (1.0, 0.0, 0.0)})
    group = group_report().model_copy(update={"spectrum_in": flat})
    assert_words_can_be_read(spectra(group))


@pytest.mark.parametrize("count", [1, 2, 30, 96])
def test_the_energy_of_many_groups_with_long_names_can_be_read(count: int) -> None:
    groups = [
        group_report(f"model.layers.{place}.mlp.gate_up_projection") for place in range(count)
    ]
    figure = energy_by_group(groups)
    assert_words_can_be_read(figure)
    (axes,) = figure.axes
    assert len(axes.get_yticklabels()) == count


def test_a_group_that_was_not_judged_has_no_row() -> None:
    figure = energy_by_group(
        [group_report("a"), group_report("b", judged=False), group_report("c")]
    )
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "c"]


def test_a_real_basis_is_drawn(real_report: BasisReport) -> None:
    for group in real_report.groups:
        figure = spectra(group)
        assert_words_can_be_read(figure)
        left, right = (pixels_of(figure, axes) for axes in figure.axes)
        assert left.std() > 0.02
        assert right.std() > 0.02
    figure = energy_by_group(real_report.groups)
    assert_words_can_be_read(figure)
    assert pixels(figure).shape[1] == 1200
