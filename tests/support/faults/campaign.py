"""Calibrations while a server, two workers and a client are killed at random moments.

Half of the kills come right after something happened on the disk (an acknowledgement, a lease, a
partial sum, a file in the staging folder, a basis in its place), the others at any time.
"""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from sqlalchemy import func, select

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import Catalog
from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.settings import Settings
from sparsegrad_server.store.files import entries, make_folder, tree

from .contents import Contents
from .journal import Known, read
from .processes import Killable, command
from .uploader import JOURNAL_FILE, STOP_FILE, upload_all

LOOK_SECONDS = 0.002
MOMENT_SECONDS = 2.0  # the longest wait for something to happen
LINGER_SECONDS = 0.03  # after it has happened
END_SECONDS = 300.0  # for what is begun to be done, once the kills are over
VICTIMS = {"server": 4, "worker-0": 2, "worker-1": 2, "client": 2}  # by weight

# Short leases, so that a worker's death costs a second; every partial sum is kept.
_SETTINGS = {
    "lease_seconds": "1",
    "poll_seconds": "0.05",
    "partial_seconds": "0",
    "reservation_seconds": "2",
    "worker_threads": "1",
    "min_free_bytes": "0",
    "max_concurrent_uploads": "4",
}


@dataclass
class Campaign:
    """What a campaign has left behind.

    Attributes:
        folder: of everything.
        contents: what was calibrated.
        changes: settings that differ from those of all campaigns.
        url: of its server, while that runs.
        kills: how often each process was killed.
        moments: what the kills came after.
        seconds: from the first kill to the last.
    """

    folder: Path
    contents: Contents
    changes: dict[str, str] = field(default_factory=dict)
    url: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def settings(self) -> Settings:
        """The server's settings."""
        values = {**_SETTINGS, **self.changes}
        return Settings(data=self.folder / "data", **values)  # type: ignore[arg-type]

    @property
    def known(self) -> dict[int, Known]:
        """What the client was told."""
        return read(self.folder / JOURNAL_FILE)


def run(
    folder: Path,
    contents: Contents,
    kills: int,
    most: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Calibrate under so many kills; ends once everything that was begun is published.

    Args:
        folder: an empty one.
        contents: what to calibrate; its seed is that of the kills too.
        kills: how many.
        most: calibrations to begin; without it as many as fit between the kills.
        say: told about every kill.

    Raises:
        AssertionError: when a process ends by itself, or something never ends.
    """
    campaign = Campaign(folder, contents)
    chance = random.Random(contents.seed)
    with processes(campaign, most) as running:
        began = monotonic()
        for number in range(kills):
            moment = _await_moment(campaign, chance)
            victim = chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            _check_alive(running)
            running[victim].kill()
            running[victim].restart()
            campaign.kills[victim] += 1
            campaign.moments[moment] += 1
            say(f"{number + 1}/{kills}: {victim} after {moment}")
        campaign.seconds = monotonic() - began
        if most is None:
            (folder / STOP_FILE).touch()
        await_end(campaign, running)
    return campaign


def await_until(is_so: Callable[[], bool], what: str) -> None:
    """Look again and again until something is so.

    Raises:
        AssertionError: when it does not come to be so.
    """
    pause, until = threading.Event(), monotonic() + END_SECONDS
    while not is_so():
        assert monotonic() < until, what
        pause.wait(LOOK_SECONDS)


def _await_moment(campaign: Campaign, chance: random.Random) -> str:
    """Wait until something has happened, or for a while; says what."""
    pause = threading.Event()
    moments = _moments(campaign.settings, campaign.folder / JOURNAL_FILE)
    moment = chance.choice([*moments, *["nothing"] * len(moments)])
    if moment == "nothing":
        pause.wait(chance.uniform(0, MOMENT_SECONDS))
        return moment
    look = moments[moment]
    # Not always the first time: what is rare early on is then met as well.
    for _ in range(chance.randint(1, 8)):
        seen, until = look(), monotonic() + MOMENT_SECONDS
        while look() == seen and monotonic() < until:
            pause.wait(LOOK_SECONDS)
    if chance.random() < 0.5:
        pause.wait(chance.uniform(0, LINGER_SECONDS))
    return moment


def _moments(settings: Settings, journal: Path) -> dict[str, Callable[[], object]]:
    """Things that change when something happens."""
    return {
        "an acknowledgement": lambda: journal.stat().st_size if journal.exists() else 0,
        "a lease": lambda: _leases(settings),
        "a partial sum": lambda: sorted(tree(settings.partial_folder)),
        "a staged file": lambda: entries(settings.staging_folder),
        "a basis": lambda: entries(settings.bases_folder),
    }


def _leases(settings: Settings) -> int:
    catalog = Catalog(settings.catalog_address)
    with catalog.reading() as session:
        leases = session.scalar(select(func.sum(JobRow.fence)))
    catalog.close()
    return int(leases or 0)


def _unended(catalog: Catalog) -> int:
    with catalog.reading() as session:
        unended = JobRow.state.not_in(("done", "failed"))
        return int(session.scalar(select(func.count()).where(unended)) or 0)


def _check_alive(processes: dict[str, Killable]) -> None:
    for process in processes.values():
        if process.exit_code is not None:
            raise AssertionError(
                f"{process.name} ended by itself, code {process.exit_code}: {process.output}"
            )


def await_end(campaign: Campaign, processes: dict[str, Killable]) -> None:
    """Wait until the client has done all that it began, and no job waits or runs.

    Raises:
        AssertionError: when it did not, or another process has ended by itself.
    """
    code = processes["client"].join(END_SECONDS)
    others = {name: process for name, process in processes.items() if name != "client"}
    _check_alive(others)
    if code != 0:
        said = "\n".join(f"{name}: {process.output}" for name, process in processes.items())
        raise AssertionError(f"the client did not come to its end (code {code})\n{said}")
    # The client waits for the basis. Summing that was cut off ends after it, with nothing to sum.
    with closing(Catalog(campaign.settings.catalog_address)) as catalog:
        await_until(lambda: not _unended(catalog), "a job never ended")


@contextmanager
def processes(campaign: Campaign, most: int | None) -> Iterator[dict[str, Killable]]:
    """A server, two workers and a client, for as long as the context lasts.

    Args:
        campaign: where they work, and on what.
        most: calibrations that the client begins; until the stop file is there when None.
    """
    settings, folder = campaign.settings, campaign.folder
    token = new_token(settings)
    environment = environment_of(settings)
    with ExitStack() as stack:

        def start(name: str, *program: object) -> Killable:
            process = Killable(name, folder / f"{name}.log", *program)  # type: ignore[arg-type]
            stack.callback(process.kill)
            return process

        port = free_port()
        campaign.url = url = f"http://127.0.0.1:{port}"
        yield {
            "server": start("server", command, serve(port), environment),
            "worker-0": start("worker-0", command, ["worker"], environment),
            "worker-1": start("worker-1", command, ["worker"], environment),
            "client": start("client", upload_all, url, token, folder, campaign.contents, most),
        }


def serve(port: int) -> list[str]:
    """The arguments of the server's process."""
    return ["serve", "--no-worker", "--port", str(port)]


def environment_of(settings: Settings) -> dict[str, str]:
    """What has `sparsegrad-server` use these settings."""
    values = settings.model_dump(mode="json", exclude_unset=True)
    return {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in values.items()}


def new_token(settings: Settings) -> str:
    """A token for the namespace `team`, in a catalog that is made when it is not there."""
    make_folder(settings.data)
    catalog = Catalog(settings.catalog_address)
    catalog.migrate()
    with catalog.writing() as session:
        token = tokens.create(session, "faults", "team", "write", datetime.now(UTC))
    catalog.close()
    return token.secret


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
