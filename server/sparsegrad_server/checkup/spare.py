"""What nothing names any more, and how it is freed.

Whoever frees something decides anew, under the locks of those that could still name it, and only
then removes: servers and workers go on beside it. What was listed is a guess; what is freed is
certain. A kill at any moment leaves what is left to be freed the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

# Damaged bases are kept for longer: someone may want to look into the damage.
DAMAGED_GRACES = 28  # as many times the grace: a week, by default
SILENT_GRACES = 28  # and so are machines whose worker is silent: someone may miss one


@dataclass(frozen=True)
class Spare:
    """Something that nothing seems to name.

    Attributes:
        what: it, in words.
        bytes: that it takes up.
        free: removes it, if nothing names it now; answers whether it did. Raises `OSError` when
            it cannot be removed.
    """

    what: str
    bytes: int
    free: Callable[[], bool]


@dataclass(frozen=True)
class Age:
    """What counts as old enough.

    Attributes:
        now: the time.
        grace: how long something is left alone after its last change, since it may belong to an
            upload or a job that has not come to its row yet.
    """

    now: datetime
    grace: timedelta

    def is_over(self, changed: datetime, graces: int = 1) -> bool:
        """Whether something that changed then has had its grace."""
        return changed <= self.now - graces * self.grace
