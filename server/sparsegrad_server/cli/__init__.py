"""The command ``sparsegrad-server``: a module a subcommand.

Nothing here imports the web framework, the database or NumPy before a command needs it, so that
``--help`` is quick and works without the extra that brings them.
"""

from __future__ import annotations

from .app import app, main

__all__ = ["app", "main"]
