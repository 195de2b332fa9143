"""The client's own folder: the cache of bases and the embedded server's data.

::

    HOME/bases/<hex digest>/   a basis: manifest.json, report.json, a file a group
    HOME/resolved/…            which digest a version was, by server
    HOME/server/               the embedded server's data folder and its log

`SPARSEGRAD_HOME` moves it; otherwise it is where the operating system keeps a user's data.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "SPARSEGRAD_HOME"


def home() -> Path:
    """The client's folder; it need not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path("sparsegrad", appauthor=False)


def bases_folder() -> Path:
    """Where fetched bases are kept."""
    return home() / "bases"


def resolved_folder() -> Path:
    """Where it is kept which digest a version was."""
    return home() / "resolved"


def server_folder() -> Path:
    """The embedded server's data folder."""
    return home() / "server"
