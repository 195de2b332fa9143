"""The server's settings: arguments first, then the environment (`SPARSEGRAD_…`), then defaults.

A section a module; `Settings` is all of them together.
"""

from __future__ import annotations

from .gradients import Gradients
from .imports import ImportedBases
from .listening import Listening
from .operators import Operators
from .places import Places
from .requests import Requests
from .section import PREFIX, Section
from .workers import Workers

__all__ = ["PREFIX", "SECTIONS", "Section", "Settings"]


class Settings(Places, Listening, Requests, Gradients, ImportedBases, Workers, Operators):
    """Where the server keeps its data, what it takes, and how its worker works.

    A setting `min_free_bytes` is `SPARSEGRAD_MIN_FREE_BYTES` in the environment.
    """


# In the order in which people are shown them.
SECTIONS: tuple[type[Section], ...] = (
    Places,
    Listening,
    Requests,
    Gradients,
    ImportedBases,
    Workers,
    Operators,
)
