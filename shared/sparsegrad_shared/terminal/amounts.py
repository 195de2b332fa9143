"""Amounts, rates and times as progress shows them."""

from __future__ import annotations

from ..progress import InBytes


def amount(phase: str, value: float) -> str:
    """Units of a phase: a count, or bytes in the unit that reads best, powers of 1000."""
    return size(value) if isinstance(phase, InBytes) else f"{value:.0f}"


def size(value: float) -> str:
    """Bytes in the unit that reads best, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def rate(phase: str, units: float, seconds: float) -> str:
    """Units a second, or seconds a unit, whichever reads better; nothing where none is known."""
    if units <= 0 or seconds <= 0:
        return ""
    speed = units / seconds
    if isinstance(phase, InBytes):
        return f"{size(speed)}/s"
    if speed >= 1:
        return f"{speed:.0f}/s" if speed >= 1000 else f"{speed:.1f}/s"
    return f"{1 / speed:.1f} s each"


def duration(seconds: float) -> str:
    """A time to wait: seconds, or hours, minutes and seconds."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
