"""A server with real bases of MiniLM, to be looked at with a browser.

The bases are made once in a test run, whichever of its processes is first; every process then
serves a copy of its own. One base folder holds:

* ``team/minilm-python`` versions 1 and 2 (other batches), two groups of six layers each;
  ``prod`` names version 1;
* ``team/minilm-layers`` version 1, a group a layer, twelve of them, 64 columns each;
* ``other/minilm-secret`` version 1, in a namespace that tokens of ``team`` do not see;
* ``team/minilm-stopped``, of which there is an open calibration alone: its client was stopped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from sparsegrad_server.catalog.tables import CalibrationRow, TokenRow
from sparsegrad_shared.tokens import Scope

from .minilm import calibrate_minilm, task
from .serving import Serving
from .stepping import Stopped, stopping_at

BASIS = "team/minilm-python"
LAYERS = "team/minilm-layers"
SECRET = "other/minilm-secret"
STOPPED = "team/minilm-stopped"
TAGS = ("cola", "nightly")
GROUPS = ("intermediate", "output")

Who = tuple[Scope | None, str]  # the scope and the namespace of somebody's token
NOBODY: Who = (None, "")
READER: Who = ("read", "team")
NEWCOMER: Who = ("write", "new")  # nobody has calibrated in that namespace yet
ADMIN: Who = ("admin", "team")
OPERATOR: Who = ("admin", "*")

# Every page that a test walks, and who looks at it.
PAGES: dict[str, Who] = {
    "sign-in": NOBODY,
    "bases": READER,
    "bases-none-found": READER,
    "bases-none-yet": NEWCOMER,
    "basis": READER,
    "basis-of-many-groups": READER,
    "compare-choose": READER,
    "compare": READER,
    "calibrations": READER,
    "calibration": READER,
    "calibration-open": READER,
    "jobs": READER,
    "job": READER,
    "tokens": ADMIN,
    "token-revoke": ADMIN,
    "system": OPERATOR,
    "system-of-team": ADMIN,
    "reference": NOBODY,
    "not-found": READER,
}

# A test signs in and loads pages faster than people do.
_SETTINGS = {"requests_per_second": 1000, "request_burst": 1000}


def make_bases(data: Path, home: Path) -> None:
    """Calibrate all that the pages show, over a data folder.

    Args:
        data: the server's folder, new.
        home: the client's folder.
    """
    with pytest.MonkeyPatch.context() as patch, serving(data) as server:
        patch.setenv("SPARSEGRAD_HOME", str(home))
        prepared, url, token = task(), server.url, server.token()
        calibrate_minilm(prepared, url, token, BASIS, tags=TAGS)
        calibrate_minilm(prepared, url, token, BASIS, tags=TAGS, seed=1)
        calibrate_minilm(prepared, url, token, LAYERS, steps=2, share="layer", rank=64)
        calibrate_minilm(prepared, url, server.token("other"), SECRET, steps=2, rank=64)
        with suppress(Stopped):
            calibrate_minilm(prepared, url, token, STOPPED, progress=stopping_at(3))
        with server.client() as client:
            name_version(client, BASIS, 1, "prod")


def paths_of(server: Serving) -> dict[str, str]:
    """Where each of `PAGES` is on a server over these bases."""
    calibration, stopped = (_first_calibration(server, name) for name in (BASIS, STOPPED))
    with server.catalog.reading() as session:
        of_team = select(TokenRow).where(TokenRow.namespace == "team")
        token = session.scalars(of_team.order_by(TokenRow.created)).first()
        assert token is not None
    return {
        "sign-in": "/sign-in",
        "bases": "/bases",
        "bases-none-found": "/bases?q=nothing-like-this",
        "bases-none-yet": "/bases",
        "basis": f"/bases/{BASIS}/1",
        "basis-of-many-groups": f"/bases/{LAYERS}/1",
        "compare-choose": "/compare",
        "compare": f"/compare?a={BASIS}@1&b={BASIS}@2",
        "calibrations": "/calibrations",
        "calibration": f"/calibrations/{calibration.id}",
        "calibration-open": f"/calibrations/{stopped.id}",
        "jobs": "/jobs",
        "job": f"/jobs/{calibration.job_id}",
        "tokens": "/tokens",
        "token-revoke": f"/tokens/{token.id}/revoke",
        "system": "/system",
        "system-of-team": "/system",
        "reference": "/docs",
        "not-found": "/bases/team/no-such-basis/1",
    }


def _first_calibration(server: Serving, name: str) -> CalibrationRow:
    """The oldest calibration of a basis."""
    namespace, _, rest = name.partition("/")
    found = select(CalibrationRow).filter_by(namespace=namespace, name=rest)
    with server.catalog.reading() as session:
        return session.scalars(found.order_by(CalibrationRow.created)).first() or pytest.fail(name)


def name_version(client: httpx.Client, name: str, version: int, alias: str) -> None:
    """Give a version an alias that names nothing yet."""
    answer = client.put(
        f"/v1/bases/{name}/aliases/{alias}",
        json={"version": version},
        headers={"If-None-Match": "*"},
    )
    answer.raise_for_status()


@contextmanager
def serving(data: Path) -> Iterator[Serving]:
    """A server with a worker, which ends the ordinary way."""
    with Serving(data, worker=True, **_SETTINGS) as server:
        yield server
        server.ask_to_stop()
        server.process.wait(timeout=60)


@pytest.fixture(scope="session")
def made_bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all bases, shared by the processes of a test run: not to be served."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / "dashboard"
    with (shared / "dashboard.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            aside = shared / "dashboard-aside"
            shutil.rmtree(aside, ignore_errors=True)
            make_bases(aside, shared / "dashboard-home")
            aside.rename(made)
    return made


@pytest.fixture(scope="session")
def dashboard(made_bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server over a copy of the bases, and its worker."""
    data = tmp_path_factory.mktemp("dashboard") / "data"
    shutil.copytree(made_bases, data)
    with serving(data) as server:
        yield server


@pytest.fixture(scope="session")
def paths(dashboard: Serving) -> dict[str, str]:
    """Where each page is."""
    return paths_of(dashboard)
