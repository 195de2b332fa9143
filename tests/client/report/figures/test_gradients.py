"""The paper's figures 1 and 3: what is large is light, what is touched is filled."""

from __future__ import annotations

import numpy as np
import pytest
from support.pictures import assert_words_can_be_read, lightness, pixels, pixels_of
from support.reports import sampled_matrix

from sparsegrad_client.report.figures import energy_map, touched_entries
from sparsegrad_shared.report import BasisReport, GradientSample

SHAPES = [(1, 1), (3, 200), (64, 64), (384, 1536), (11008, 4096)]


def sample(rows: int, columns: int, rank_out: int = 10**9, rank_in: int = 10**9) -> GradientSample:
    return GradientSample(
        original=sampled_matrix(1, rows, columns),
        basis=sampled_matrix(2, min(rows, rank_out), min(columns, rank_in), decay=1.0),
    )


@pytest.mark.parametrize(("rows", "columns"), SHAPES[:-1])
def test_pictures_of_any_shape_can_be_read(rows: int, columns: int) -> None:
    for draw in (energy_map, touched_entries):
        assert_words_can_be_read(draw(sample(rows, columns), 0.01))
        assert_words_can_be_read(draw(sample(rows, columns, 5, 7), 0.0027))


def test_the_energy_map_is_light_where_the_energy_is() -> None:
    figure = energy_map(sample(384, 512), 0.01)
    original, basis = (pixels_of(figure, axes) for axes in figure.axes[:2])
    height, width = basis.shape[0] // 4, basis.shape[1] // 4
    leading, trailing = basis[:height, :width], basis[-height:, -width:]
    assert lightness(leading) > lightness(trailing) + 0.2
    leading, trailing = original[:height, :width], original[-height:, -width:]
    assert lightness(leading) == pytest.approx(lightness(trailing), abs=0.05)


def test_both_panels_have_one_scale_of_colours() -> None:
    figure = energy_map(sample(384, 512), 0.01)
    scales = [axes.images[0].norm for axes in figure.axes[:2]]
    assert scales[0] is scales[1]
    shown = [axes.images[0].get_array() for axes in figure.axes[:2]]
    highest = max(np.max(entries) for entries in shown)
    assert scales[0].vmax == pytest.approx(highest)


def test_a_gradient_of_one_entry_is_drawn() -> None:
    one = sampled_matrix(1, 5, 4)
    one = one.model_copy(update={"levels": bytes([255]) + bytes(19)})
    assert_words_can_be_read(energy_map(GradientSample(original=one, basis=one), 0.01))


def test_the_share_of_each_row_and_column_is_what_was_counted() -> None:
    drawn = sample(100, 128)
    figure = touched_entries(drawn, 0.01)
    rows, columns = figure.axes[1], figure.axes[3]
    (stairs,) = rows.patches
    values, edges, _ = stairs.get_data()
    counts = values * np.diff(edges) * drawn.basis.columns
    np.testing.assert_allclose(counts, drawn.basis.top_by_rows)
    (stairs,) = columns.patches
    values, edges, _ = stairs.get_data()
    np.testing.assert_allclose(
        values * np.diff(edges) * drawn.basis.rows, drawn.basis.top_by_columns
    )


def test_a_real_gradient_is_drawn_before_and_after(real_report: BasisReport) -> None:
    for group in real_report.groups:
        assert group.sample is not None
        figure = energy_map(group.sample, group.density)
        original, basis = (pixels_of(figure, axes) for axes in figure.axes[:2])
        assert original.std() > 0.02
        assert basis.std() > 0.02
        assert original.shape != basis.shape or np.abs(original - basis).mean() > 0.02
        assert_words_can_be_read(figure)
        touched = touched_entries(group.sample, group.density)
        assert_words_can_be_read(touched)
        assert (pixels(touched) < 1).any(axis=(0, 2)).mean() > 0.8  # as wide as the picture
