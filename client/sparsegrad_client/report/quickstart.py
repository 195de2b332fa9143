"""The quickstart's tables, and where to look next."""

from __future__ import annotations

from pathlib import Path

from ..quickstart.run import Quickstart
from .tables import Row, energy_text

ENERGY_COLUMNS = ("held-out gradient energy in the top 1%", "original space", "in the basis")
TIME_COLUMNS = ("phase", "seconds")


def energy_rows(done: Quickstart) -> list[Row]:
    """The share of energy in the largest entries of each group, in both spaces."""
    return [
        (
            f"{group.name} ({len(done.basis.groups[group.name].layers)} layers)",
            energy_text(group.original),
            energy_text(group.basis),
        )
        for group in done.report.groups
    ]


def time_rows(done: Quickstart) -> list[Row]:
    """Seconds of each phase, and in all."""
    phases = [(name, f"{seconds:.0f}") for name, seconds in done.seconds.items()]
    return [*phases, ("in all", f"{sum(done.seconds.values()):.0f}")]


def next_steps(done: Quickstart, output: Path) -> list[tuple[str, str]]:
    """Commands to try next, each with what it does; they work as printed."""
    return [
        (f"sparsegrad-client bases report {done.basis}", "how good the basis is, group by group"),
        (f"sparsegrad-client bases show {done.basis}", "where it comes from"),
        ("sparsegrad-client calibrate --help", "the same for your model and data"),
        ("sparsegrad-server serve --help", "one server for the whole team"),
        (f"ls {output}", "the adapter, its tokenizer and config"),
    ]
