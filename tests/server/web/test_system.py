"""The page of the server itself: an operator sees all, others what is theirs, none a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from support.browsers import words_of
from support.service import Service
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.jobs import queue
from sparsegrad_server.overview import overview
from sparsegrad_server.settings import Settings

UP = group_of("up")
PASSWORD = "correct-horse"


@pytest.fixture(scope="module", autouse=True)
def _busy(bench: Workbench) -> None:
    """Two namespaces hold gradients, one worker has a job, one job waits."""
    for name in ("team/one", "rivals/two"):
        calibration = bench.open(manifest_of([UP], name=name))
        bench.store_all(calibration, UP)
        bench.finish(calibration)
    with bench.catalog.writing() as session:
        assert queue.claim(session, "gpu-box-7", datetime.now(UTC), timedelta(minutes=9))


def test_an_operator_sees_the_whole_server(
    bench: Workbench, site: Service, operator: httpx.Client
) -> None:
    words = words_of(operator.get("/system").text)
    assert "gpu-box-7" in words
    assert f"Data folder {bench.settings.data}" in words
    assert "Catalog SQLite in the data folder" in words
    assert "Uploads under way 0" in words
    assert "1 at work" in words
    assert all(each in words for each in ("team", "rivals", "max_gradient_bytes", "up for"))
    assert "POST /sign-in" in words


def test_a_namespace_s_administrator_sees_what_is_its_own(
    bench: Workbench, administrator: httpx.Client
) -> None:
    page = administrator.get("/system").text
    assert "rivals" not in page
    assert str(bench.settings.data) not in page
    assert "Uploads under way" not in page
    assert "What concerns namespace team" in page
    assert "max_gradient_bytes" in page


def test_others_may_not_look(viewer: httpx.Client, editor: httpx.Client) -> None:
    assert viewer.get("/system").status_code == editor.get("/system").status_code == 403


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            f"postgresql://boss:{PASSWORD}@db.example:5433/grads?sslmode=require",
            "PostgreSQL at db.example:5433/grads",
        ),
        (f"postgresql+psycopg://boss:{PASSWORD}@db/grads", "PostgreSQL at db/grads"),
        ("postgresql:///grads", "PostgreSQL at this machine/grads"),
        ("sqlite:////srv/catalog.sqlite", "SQLite at /srv/catalog.sqlite"),
    ],
)
def test_neither_a_password_nor_a_user_is_shown(bench: Workbench, url: str, shown: str) -> None:
    settings = Settings(data=bench.settings.data, catalog_url=url)
    seen = overview(bench.catalog, settings, "*", lambda: 3)
    assert seen.whole is not None
    assert (seen.whole.catalog, seen.whole.uploads) == (shown, 3)
    assert PASSWORD not in str(seen)
    assert "boss" not in str(seen)


def test_what_is_counted_is_the_namespace_s(bench: Workbench) -> None:
    everything = overview(bench.catalog, bench.settings, "*", lambda: 0)
    ours = overview(bench.catalog, bench.settings, "team", lambda: 0)
    assert ours.whole is None
    assert [each.namespace for each in ours.usage] == ["team"]
    assert {each.namespace for each in everything.usage} == {"team", "rivals"}
    assert ours.jobs["queued"] + ours.jobs["leased"] == 2  # one sums, one publishes
    assert everything.jobs["leased"] == 1
