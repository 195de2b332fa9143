"""How well a training's gradients fitted the basis, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...training.record import BasisLine, FitLine, GroupFit, MisfitLine, TrainingRecord
from .series import (
    MOST_NAMED,
    Series,
    draw_groups,
    mark_changes,
    name_groups,
    panels_over_steps,
)
from .style import LINES, MUTED, from_zero, in_percent, new_figure, styled, titled


@styled
def fit(record: TrainingRecord) -> Figure | None:
    """The energy in the largest entries of the training's own gradients, group by group.

    On the left in the basis; dashed is what it was on the calibration's held-out gradients, and a
    cross marks the step at which a group was found not to fit any more. On the right the same
    divided by what as many entries hold in the original space.
    """
    samples = record.of(FitLine)
    found = {
        name: [(sample.step, sample.groups[name]) for sample in samples if name in sample.groups]
        for name in record.run.groups
    }
    found = {name: group for name, group in found.items() if group}
    if not found:
        return None
    energies, advantages = (
        {
            name: Series.of([step for step, _ in group], [of(part) for _, part in group])
            for name, group in found.items()
        }
        for of in (_energy, _advantage)
    )
    figure = new_figure(3.9)
    basis, against = panels_over_steps(figure, record, 2)
    colors = draw_groups(basis, energies)
    draw_groups(against, advantages)
    _draw_calibrations(basis, record, energies, colors)
    for misfit in record.of(MisfitLine):
        if misfit.group in found:
            basis.plot(misfit.step, misfit.energy, "X", color=colors[misfit.group], markersize=10)
    against.plot(against.get_xlim(), (1, 1), color=MUTED, linewidth=1)
    basis.set_ylim(0, 1)
    from_zero(against)
    in_percent(basis.yaxis)
    for axes, lines in ((basis, energies), (against, advantages)):
        mark_changes(axes, record)
        name_groups(axes, lines, colors, beside=axes is basis)
    titled(basis, _fit_title(record), _fit_remark(record, len(found)))
    titled(
        against,
        "In the basis ÷ in the original space",
        "under 1: better without a basis",
    )
    return figure


def _energy(found: GroupFit) -> float:
    return found.energy


def _advantage(found: GroupFit) -> float:
    return found.energy / found.original if found.original else 1.0


def _draw_calibrations(
    axes: Axes, record: TrainingRecord, lines: Mapping[str, Series], colors: Mapping[str, str]
) -> None:
    last = max(float(series.steps[-1]) for series in lines.values())
    known = {name: _calibrations(record, name, last) for name in lines}
    if len(lines) > MOST_NAMED:
        _draw_ranges(axes, [period for periods in known.values() for period in periods])
        return
    for name, periods in known.items():
        for start, end, energy in periods:
            axes.plot((start, end), (energy, energy), "--", color=colors[name], linewidth=1)


def _draw_ranges(axes: Axes, periods: Sequence[tuple[float, float, float]]) -> None:
    """From the least to the largest of what the calibration had, where lines would be too many."""
    for start, end in sorted({(start, end) for start, end, _ in periods}):
        held = [energy for *period, energy in periods if period == [start, end]]
        axes.fill_between((start, end), min(held), max(held), color=LINES, linewidth=0, alpha=0.7)


def _calibrations(
    record: TrainingRecord, group: str, last: float
) -> list[tuple[float, float, float]]:
    """From which step to which the calibration's energy of a group held, as far as it is known."""
    known: list[tuple[float, float | None]] = [(1.0, record.run.groups[group].calibration)]
    known += [(float(line.step), line.calibration.get(group)) for line in record.of(BasisLine)]
    ends = [start for start, _ in known[1:]] + [last]
    return [
        (start, max(end, start), energy)
        for (start, energy), end in zip(known, ends, strict=True)
        if energy is not None
    ]


def _fit_title(record: TrainingRecord) -> str:
    densities = {group.density for group in record.run.groups.values() if group.density is not None}
    which = f"largest {100 * densities.pop():g}%" if len(densities) == 1 else "largest"
    return f"Energy in the {which} of the entries"


def _fit_remark(record: TrainingRecord, groups: int) -> str:
    how = "dashed" if groups <= MOST_NAMED else "grey"
    crosses = "; cross: no longer fits" if record.of(MisfitLine) else ""
    return f"{how}: in the calibration{crosses}"
