"""The worker as a process: its signals, its parent, its sign of life."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from ..catalog import Catalog
from ..settings import Settings
from ..stopping import at_end_of_input, at_signal
from ..store.files import make_folder
from ..store.open import open_stores
from .worker import Worker

GRACE_SECONDS = 8.0  # for a job to come to its next step after the worker was asked to stop
PULSE_SECONDS = 10.0
DEAD_SECONDS = 60.0  # without a pulse

_log = logging.getLogger(__name__)


def run_worker(settings: Settings, *, until_input_ends: bool) -> int:
    """Work until a signal to stop comes, or, if asked for, until standard input ends.

    The job at hand is given back first, so that another worker goes on at once.

    Args:
        settings: the server's.
        until_input_ends: whether standard input is a pipe from a parent that we end with.

    Returns:
        The exit code: 0 when asked to stop, 1 when the worker broke down.
    """
    asked, ended, broke = threading.Event(), threading.Event(), threading.Event()
    at_signal(asked.set)
    if until_input_ends:
        at_end_of_input(asked.set)
    catalog, worker = _assemble(settings)

    def work() -> None:
        try:
            worker.run(asked)
        except BaseException:  # noqa: BLE001 - the main thread has to hear of any
            _log.exception("the worker broke down")
            broke.set()
        finally:
            ended.set()
            asked.set()

    threading.Thread(target=work, daemon=True).start()
    while not asked.wait(PULSE_SECONDS):
        sign_of_life(settings).touch()
    if not ended.wait(GRACE_SECONDS):
        _log.info("the job is in the middle of a long step; giving it back")
        worker.abandon()
        logging.shutdown()
        os._exit(0)  # LAPACK cannot be interrupted, and its result is not wanted any more
    catalog.close()
    return int(broke.is_set())


def is_alive(settings: Settings) -> bool:
    """Whether this machine's worker over the data folder has lately given a sign of life."""
    try:
        return time.time() - sign_of_life(settings).stat().st_mtime < DEAD_SECONDS
    except FileNotFoundError:
        return False


def signs_of_life(settings: Settings) -> dict[str, datetime]:
    """When each machine's worker over the data folder last gave a sign of life."""
    folder = settings.workers_folder
    if not folder.is_dir():
        return {}
    return {
        path.name: datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in folder.iterdir()
    }


def sign_of_life(settings: Settings) -> Path:
    """The file that this machine's worker touches."""
    return settings.workers_folder / socket.gethostname()


def _assemble(settings: Settings) -> tuple[Catalog, Worker]:
    make_folder(settings.data)
    make_folder(settings.workers_folder)
    sign_of_life(settings).touch()
    catalog = Catalog(settings.catalog_address)
    catalog.migrate()
    stores = open_stores(settings)
    return catalog, Worker(catalog, stores.gradients, stores.bases, settings)
