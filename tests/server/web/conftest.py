"""A data folder for a file of tests, and a server over it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from support.browsers import sign_in
from support.service import Service, running
from support.shelf import Shelf, shelf_of
from support.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The parts that work on the folder beside the server."""
    return Workbench(tmp_path_factory.mktemp("pages") / "data")


@pytest.fixture(scope="module")
def site(bench: Workbench) -> Iterator[Service]:
    """The server over the folder."""
    with running(bench.settings.data) as service:
        yield service


@pytest.fixture(scope="module")
def viewer(site: Service) -> Iterator[httpx.Client]:
    """A browser that may look at namespace `team`."""
    with sign_in(site) as browser:
        yield browser


@pytest.fixture(scope="module")
def editor(site: Service) -> Iterator[httpx.Client]:
    """A browser that may change namespace `team`."""
    with sign_in(site, scope="write") as browser:
        yield browser


@pytest.fixture(scope="module")
def administrator(site: Service) -> Iterator[httpx.Client]:
    """A browser of the administrator of namespace `team`."""
    with sign_in(site, scope="admin") as browser:
        yield browser


@pytest.fixture(scope="module")
def operator(site: Service) -> Iterator[httpx.Client]:
    """A browser of the administrator of every namespace."""
    with sign_in(site, "*", "admin") as browser:
        yield browser


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A server with bases that nothing changes."""
    with shelf_of(Workbench(tmp_path_factory.mktemp("shelf") / "data")) as shelf:
        yield shelf


@pytest.fixture(scope="session")
def reader(shelf: Shelf) -> Iterator[httpx.Client]:
    """A browser that may look at namespace `team` of the shelf."""
    with sign_in(shelf.service) as browser:
        yield browser
