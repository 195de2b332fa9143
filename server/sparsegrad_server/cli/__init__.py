"""The command ``sparsegrad-server``: a module a subcommand.

Nothing here imports the web framework, the database or NumPy before a command needs it, so that
``--help`` is quick and works without the extra that brings them.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and end the process (`sparsegrad_shared.terminal.exits`)."""
    # Ctrl-C while we are only being loaded: there is nothing to say yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .app import run_server

    run_server()
