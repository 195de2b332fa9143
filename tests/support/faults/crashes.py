"""A small calibration, in which the server or a worker is killed at each point in turn."""

from __future__ import annotations

import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import monotonic

from sqlalchemy import select

from sparsegrad_server.catalog import Catalog, calibrations
from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.ingest.finish import finish

from ..litter import Litter, scatter
from ..workbench import Workbench
from . import verdict
from .campaign import LOOK_SECONDS, Campaign, environment_of, free_port, new_token, serve
from .contents import Contents
from .journal import Journal, Known
from .points import armed
from .processes import Killable, command
from .uploader import JOURNAL_FILE, Client

SMALL = Contents(seed=7, gradients=2, held_out=1)
# The dead are given up soon, so that a trial takes a second or two.
_HASTE = {"lease_seconds": "0.5", "reservation_seconds": "0.5"}
END_SECONDS = 60.0
# About as many points as each trial has; at one beyond the last nothing is killed.
POINTS = {"server": 132, "accumulation": 43, "publication": 79, "collection": 74}


@dataclass
class Crashes:
    """Trials of one small calibration, each in a folder of its own.

    Args:
        folder: an empty one.
    """

    folder: Path

    def __post_init__(self) -> None:
        self._uploaded = self.folder / "uploaded"
        self._upload(Campaign(self._uploaded, SMALL, _HASTE), point=None)
        undisturbed = self._copy("undisturbed")
        _finish(undisturbed)
        _work(undisturbed, point=None)
        self._digest = _published(undisturbed)

    def draw(self, trial: str, seed: int, count: int, say: Callable[[str], None]) -> None:
        """Hold a trial at so many of its points, drawn by lot.

        Raises:
            AssertionError: when anything was lost.
        """
        for point in random.Random(seed).sample(range(1, POINTS[trial] + 1), count):
            say(f"seed {seed}: {trial}, before operation {point}")
            say(f"which was: {self.hold(trial, point)}")

    def hold(self, trial: str, point: int) -> str | None:
        """Hold a trial, by its name, at one point; see `server`."""
        trials = {
            "server": self.server,
            "accumulation": self.accumulation,
            "publication": self.publication,
            "collection": self.collection,
        }
        return trials[trial](point)

    def server(self, point: int) -> str | None:
        """Kill the server while a client opens, uploads and finishes; the client goes on.

        Args:
            point: the operation before which it dies.

        Returns:
            What the operation would have been; None when the server did not come that far.

        Raises:
            AssertionError: when anything was lost.
        """
        campaign = Campaign(self.folder / "server", SMALL, _HASTE)
        operation = self._upload(campaign, point)
        _finish(campaign)
        _work(campaign, point=None)
        return self._judge(campaign, operation)

    def accumulation(self, point: int) -> str | None:
        """Kill the worker while it sums what has arrived; another one goes on. See `server`."""
        campaign = self._copy("accumulation")
        operation = _work(campaign, point)
        _finish(campaign)
        _work(campaign, point=None)
        return self._judge(campaign, operation)

    def publication(self, point: int) -> str | None:
        """Kill the worker while it publishes; another one goes on. See `server`."""
        campaign = self._copy("publication")
        _finish(campaign)
        operation = _work(campaign, point)
        return self._judge(campaign, operation)

    def collection(self, point: int) -> str | None:
        """Kill `gc` while something of every kind is to be freed; the next one frees the rest."""
        campaign = Campaign(self.folder / "collection", SMALL, _HASTE)
        shutil.copytree(self._litter.bench.settings.data, campaign.settings.data)
        litter = replace(self._litter, bench=Workbench(campaign.settings.data))
        arguments = ["gc", "--grace", "0", "--yes"]
        program = command, arguments, environment_of(campaign.settings)
        log, note = campaign.folder / "gc.log", campaign.folder / "gc.note"
        first = Killable("gc", log, armed, point, campaign.settings.data, note, *program)
        first.join(END_SECONDS)
        operation = _operation(note)
        assert first.exit_code == (0 if operation is None else -signal.SIGKILL), first.output
        litter.assert_named_is_there()
        # A slot that the dead one was clearing is its own until its reservation has run out.
        threading.Event().wait(campaign.settings.reservation_seconds)
        verdict.assert_gc_leaves_what_is_named_and_nothing_else(campaign)
        litter.assert_named_is_there()
        verdict.assert_nothing_is_wrong(campaign)
        litter.bench.catalog.close()
        shutil.rmtree(campaign.folder)
        return operation

    @cached_property
    def _litter(self) -> Litter:
        bench = Workbench(self.folder / "litter")
        litter = scatter(bench)
        bench.catalog.close()
        return litter

    def _upload(self, campaign: Campaign, point: int | None) -> str | None:
        settings = campaign.settings
        token, port = new_token(settings), free_port()
        program = command, serve(port), environment_of(settings)
        journal = Journal(campaign.folder / JOURNAL_FILE)
        client = Client(f"http://127.0.0.1:{port}", token, journal, SMALL)
        place = campaign.folder / "server"
        with (
            _restarted(place, settings.data, point, *program) as server,
            closing(client),
        ):
            calibration = client.open(0)
            client.send(0, calibration, Known())
            if point is not None:
                client.finish(0, calibration)
        return server.operation

    def _copy(self, name: str) -> Campaign:
        shutil.copytree(self._uploaded, self.folder / name)
        return Campaign(self.folder / name, SMALL, _HASTE)

    def _judge(self, campaign: Campaign, operation: str | None) -> str | None:
        verdict.assert_acknowledged_is_there(campaign)
        verdict.assert_bases_are_whole(campaign)
        assert _published(campaign) == self._digest
        shutil.rmtree(campaign.folder)
        return operation


class _Restarted:
    """A process that is started anew, and not armed any more, once it has killed itself."""

    def __init__(self, process: Killable, note: Path, again: Callable[[], Killable]) -> None:
        self._process = process
        self._note = note
        self._again = again
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def operation(self) -> str | None:
        """What it was about to do when it killed itself; None when it did not."""
        return _operation(self._note)

    def end(self) -> None:
        self._ended.set()
        self._keeper.join()
        self._process.kill()

    def _keep(self) -> None:
        while not self._ended.is_set():
            if self._process.join(LOOK_SECONDS) is not None:
                self._process = self._again()


def _operation(note: Path) -> str | None:
    return (note.read_text() or None) if note.exists() else None


@contextmanager
def _restarted(
    place: Path, data: Path, point: int | None, program: Callable[..., object], *arguments: object
) -> Iterator[_Restarted]:
    log, note = place.with_suffix(".log"), place.with_suffix(".note")
    name = place.name

    def unarmed() -> Killable:
        return Killable(name, log, program, *arguments)

    first = (
        unarmed()
        if point is None
        else Killable(name, log, armed, point, data, note, program, *arguments)
    )
    process = _Restarted(first, note, unarmed)
    try:
        yield process
    finally:
        process.end()


def _work(campaign: Campaign, point: int | None) -> str | None:
    """Run a worker until every job has ended."""
    settings = campaign.settings
    program = command, ["worker"], environment_of(settings)
    with _restarted(campaign.folder / "worker", settings.data, point, *program) as worker:
        catalog = Catalog(settings.catalog_address)
        pause, until = threading.Event(), monotonic() + END_SECONDS
        while _has_work(catalog):
            assert monotonic() < until, "the worker came to no end"
            pause.wait(LOOK_SECONDS)
        catalog.close()
    return worker.operation


def _has_work(catalog: Catalog) -> bool:
    with catalog.reading() as session:
        states = set(session.scalars(select(JobRow.state)))
    assert "failed" not in states
    return not states <= {"done"}


def _finish(campaign: Campaign) -> None:
    catalog = Catalog(campaign.settings.catalog_address)
    with catalog.writing() as session:
        finish(session, calibrations.get(session, _calibration(campaign)))
    catalog.close()


def _calibration(campaign: Campaign) -> str:
    calibration = campaign.known[0].id
    assert calibration is not None
    return calibration


def _published(campaign: Campaign) -> str:
    """The digest of the one basis that there is."""
    (digest,) = verdict.published(campaign)
    return digest
