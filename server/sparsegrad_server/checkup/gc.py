"""Freeing what nothing names: mark and sweep, one spare thing after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .parts import Parts
from .spare import Age, Spare
from .spare_audit import spare_audit
from .spare_bases import spare_bases, spare_set_aside
from .spare_calibrations import spare_calibrations, spare_expired
from .spare_folders import spare_imports, spare_partials, spare_signs_of_life, spare_staging
from .spare_sessions import spare_sessions
from .spare_slots import spare_slots

# Expired calibrations first: what their rows named is then spare as well.
_KINDS: tuple[Callable[[Parts, Age], Iterator[Spare]], ...] = (
    spare_expired,
    spare_calibrations,
    spare_slots,
    spare_partials,
    spare_staging,
    spare_imports,
    spare_signs_of_life,
    spare_bases,
    spare_set_aside,
    spare_audit,
    spare_sessions,
)


def spare_things(parts: Parts, age: Age) -> Iterator[Spare]:
    """Everything that nothing seems to name, kind by kind; nothing is changed by looking."""
    for kind in _KINDS:
        yield from kind(parts, age)
