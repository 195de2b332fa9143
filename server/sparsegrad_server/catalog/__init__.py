"""The catalog: the database of calibrations, gradients, jobs, bases, aliases and tokens.

Each module has the questions and changes of one kind of row, as functions that take a `Session`
of the caller's transaction.
"""

from .engine import Catalog

__all__ = ["Catalog"]
