"""What training did, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping

from ..training.evaluation import METRICS, Evaluation, Metric
from ..training.outcome import Fit, Outcome, Recalibrated
from .tables import Row, share_text, size_text

OUTCOME_COLUMNS = ("", "before", "after")
MOST_GROUPS = 6  # whose fit gets a row each; of more, those that do not fit


def outcome_rows(outcome: Outcome, metric: Metric) -> list[Row]:
    """Loss and metric before and after, values that trained, the adapter's size, the speed."""
    rows: list[Row] = [
        ("evaluation loss", f"{outcome.before.loss:.4f}", f"{outcome.after.loss:.4f}"),
    ]
    if outcome.before.score is not None:
        rows.append((METRICS[metric], _score(outcome.before), _score(outcome.after)))
    steps = len(outcome.losses)
    return [
        *rows,
        ("training loss, first and last step", *_ends(outcome.losses)),
        ("engine, selection", "", f"{outcome.engine}, {outcome.selection}"),
        ("values of the model", "", f"{outcome.model_values:,}"),
        ("values of the sparse layers", "", f"{outcome.sparse_values:,}"),
        ("entries that a step updates", "", _share(outcome.entries, outcome.sparse_values)),
        ("entries updated in all", "", _share(outcome.touched, outcome.sparse_values)),
        ("values of the head", "", f"{outcome.head_values:,}"),
        ("adapter on disk", "", size_text(outcome.adapter_bytes)),
        ("training", "", f"{steps} steps, {outcome.seconds:.0f} s"),
        *_basis_rows(outcome.recalibrated),
        *_fit_rows(outcome.fits),
    ]


def _basis_rows(change: Recalibrated | None) -> list[Row]:
    if change is None:
        return []
    rows: list[Row] = [(f"basis, from step {change.step} on", change.before, change.after)]
    if len(change.energies) <= MOST_GROUPS:
        rows += [
            (f"energy when calibrated, {name}", share_text(before), share_text(after))
            for name, (before, after) in change.energies.items()
        ]
    return rows


def _fit_rows(fits: Mapping[str, Fit]) -> list[Row]:
    """The calibration's energy and the training's, by group."""
    shown = {
        name: fit
        for name, fit in fits.items()
        if len(fits) <= MOST_GROUPS or fit.misfit is not None
    }
    rows: list[Row] = [
        (
            f"energy in the largest {100 * fit.density:g}%, {name}",
            share_text(fit.calibration),
            f"{share_text(fit.energy)}{_verdict(fit)}",
        )
        for name, fit in shown.items()
    ]
    if len(shown) < len(fits):
        fitting = len(fits) - len(shown)
        rows.append(("groups that the basis fits", "", f"{fitting} of {len(fits)}"))
    return rows


def _verdict(fit: Fit) -> str:
    if fit.misfit is None:
        return ""
    return f", does not fit since step {fit.misfit} ({share_text(fit.original)} without a basis)"


def _score(evaluation: Evaluation) -> str:
    return "-" if evaluation.score is None else f"{evaluation.score:.3f}"


def _ends(losses: list[float]) -> tuple[str, str]:
    return f"{losses[0]:.4f}", f"{losses[-1]:.4f}"


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.2%})"
