"""Where each page of the docs is played: what a person who follows it has by then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from .bases import made, publish
from .pages import DOCS
from .playing import Stage
from .servers import RunningServer

TUTORIAL = DOCS / "tutorial.md"
# The tutorial's own data, but less of it: its commands run as they stand.
_LESS_DATA = {"train=100, held_out=40": "train=24, held_out=5"}


@contextmanager
def alone(folder: Path) -> Iterator[Stage]:
    """An empty folder, and no server but the one that the client starts."""
    yield Stage(folder, {"SPARSEGRAD_HOME": str(folder / "home")})


@contextmanager
def tutorial(folder: Path) -> Iterator[Stage]:
    """The same, with the tutorial's data made smaller."""
    with alone(folder) as stage:
        yield Stage(folder, stage.environment, _LESS_DATA)


@contextmanager
def team(folder: Path) -> Iterator[Stage]:
    """A team's server with two versions of team/films, and a person who may use it."""
    with RunningServer(folder / "server") as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            for seed in (1, 2):
                publish(client, "team/films", made(seed, model="acme/bert", dataset="films"))
        home = folder / "home"
        yield Stage(
            folder,
            {
                "SPARSEGRAD_HOME": str(home),
                "SPARSEGRAD_SERVER": server.url,
                "SPARSEGRAD_TOKEN": server.token,
            },
        )


@contextmanager
def operator(folder: Path) -> Iterator[Stage]:
    """The machine of a server that runs and has a basis; its folders are below `folder`."""
    data = folder / "srv" / "sparsegrad"
    with team(data.parent):
        # `team` keeps the server's data beside itself.
        data.symlink_to(data.parent / "server")
        yield Stage(
            folder,
            {"SPARSEGRAD_DATA": str(data), "SPARSEGRAD_MIN_FREE_BYTES": "0"},
            {"/srv/": f"{folder}/srv/", "/backup": f"{folder}/backup"},
        )


STAGES = {"sharing": team, "operating": operator, "backup": operator, "security": operator}
# They go on from where the tutorial ends.
AFTER_TUTORIAL = ("adapters", "choosing", "fit", "peft", "reports", "trainer")
