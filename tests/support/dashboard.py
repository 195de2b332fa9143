"""A server with real bases of MiniLM, to be looked at with a browser.

The bases are made once in a test run, whichever of its processes is first; every process then
serves a copy of its own. One base folder holds:

* ``team/minilm-python`` versions 1 and 2 (other batches), two groups of six layers each;
  ``prod`` names version 1;
* ``team/minilm-layers`` version 1, a group a layer, twelve of them, 64 columns each;
* ``other/minilm-secret`` version 1, in a namespace that tokens of ``team`` do not see.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from sparsegrad_server.catalog.tables import CalibrationRow
from sparsegrad_shared.tokens import Scope

from .minilm import calibrate_minilm, task
from .serving import Serving

BASIS = "team/minilm-python"
LAYERS = "team/minilm-layers"
SECRET = "other/minilm-secret"
TAGS = ("cola", "nightly")
GROUPS = ("intermediate", "output")

# Every page that a test walks, and the scope of who looks at it; None for nobody.
PAGES: dict[str, Scope | None] = {
    "sign-in": None,
    "bases": "read",
    "bases-none-found": "read",
    "basis": "read",
    "basis-of-many-groups": "read",
    "compare-choose": "read",
    "compare": "read",
    "calibrations": "read",
    "calibration": "read",
    "jobs": "read",
    "job": "read",
    "tokens": "admin",
    "system": "admin",
    "reference": None,
    "not-found": "read",
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
        with server.client() as client:
            name_version(client, BASIS, 1, "prod")


def paths_of(server: Serving) -> dict[str, str]:
    """Where each of `PAGES` is on a server over these bases."""
    with server.catalog.reading() as session:
        of_namespace = select(CalibrationRow).where(CalibrationRow.namespace == "team")
        calibration = session.scalars(of_namespace.order_by(CalibrationRow.created)).first()
        assert calibration is not None
    return {
        "sign-in": "/sign-in",
        "bases": "/bases",
        "bases-none-found": "/bases?q=nothing-like-this",
        "basis": f"/bases/{BASIS}/1",
        "basis-of-many-groups": f"/bases/{LAYERS}/1",
        "compare-choose": "/compare",
        "compare": f"/compare?a={BASIS}@1&b={BASIS}@2",
        "calibrations": "/calibrations",
        "calibration": f"/calibrations/{calibration.id}",
        "jobs": "/jobs",
        "job": f"/jobs/{calibration.job_id}",
        "tokens": "/tokens",
        "system": "/system",
        "reference": "/docs",
        "not-found": "/bases/team/no-such-basis/1",
    }


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
