"""What the shell offers when Tab is pressed: names of bases, short names of models.

Names come from the server that is named, if it answers within a moment, and from what was fetched
here before. Nothing is started and nothing is said: a Tab that finds nothing offers nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator

import typer

_SECONDS = 1.0  # that the server may take in all
_LIMIT = 100  # bases that it is asked for, the newest


def references(context: typer.Context, incomplete: str) -> list[str]:
    """References to bases: names and aliases; versions once there is an @."""
    found = _every(context, incomplete)
    return found if "@" in incomplete else [each for each in found if "@" not in each]


def versions(context: typer.Context, incomplete: str) -> list[str]:
    """Versions of bases."""
    return [each for each in _every(context, incomplete) if "@" in each]


def aliases(context: typer.Context, incomplete: str) -> list[str]:
    """Aliases of bases."""
    return [each for each in _every(context, incomplete) if ":" in each]


def names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of bases."""
    return [each for each in _every(context, incomplete) if not {":", "@"} & set(each)]


def models(incomplete: str) -> list[str]:
    """Short names of models."""
    from ..presets import SHORT_NAMES

    return [name for name in SHORT_NAMES if name.startswith(incomplete)]


def _every(context: typer.Context, incomplete: str) -> list[str]:
    from .. import cache, service  # noqa: F401 - what that takes is none of the server's time

    found: set[str] = set()
    server = context.params.get("server")
    asking = threading.Thread(target=_collect, args=(server, found), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return sorted(each for each in found.copy() if each.startswith(incomplete))


def _collect(server: str | None, found: set[str]) -> None:
    """Add what there is to `found`, as it comes; whatever fails, fails in silence."""
    warnings.simplefilter("ignore")
    for source in (_fetched_before, _on_server):
        try:
            for each in source(server):
                found.add(each)
        except Exception:  # noqa: BLE001, S110 - a Tab is no place for an error
            pass


def _fetched_before(server: str | None) -> Iterator[str]:
    from ..cache import ResolvedVersions
    from ..connection import server_name
    from ..home import resolved_folder

    for version in ResolvedVersions(resolved_folder(), server_name(server)).every():
        yield from (version.name, str(version))


def _on_server(server: str | None) -> Iterator[str]:
    from dataclasses import replace

    from ..service import BasisService, ServiceConfig

    config = ServiceConfig.resolve(server)
    if config is None:
        return
    hasty = replace(config, connect_seconds=_SECONDS, answer_seconds=_SECONDS, patience=0.0)
    with BasisService(hasty) as service:
        for version in service.find_bases(limit=_LIMIT).bases:
            yield from (version.name, str(version))
            yield from (f"{version.name}:{alias}" for alias in version.aliases)
