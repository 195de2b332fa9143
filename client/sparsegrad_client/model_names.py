"""What a model in a folder is called."""

from __future__ import annotations

from pathlib import Path

# Folders of packages and caches that are all called alike: the one around them tells more.
_PLAIN_NAMES = {"model", "snapshot", "."}


def folder_id(folder: Path) -> str:
    """The name of a model's folder, for lineages: never its place on this machine.

    Args:
        folder: an absolute path.
    """
    return folder.parent.name if folder.name in _PLAIN_NAMES else folder.name
