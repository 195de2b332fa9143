"""Every change leaves its row, in the transaction that makes it; so does every refusal."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text
from support.calibrations import Calibration
from support.gradients import dense_frame, manifest, open_calibration, put
from support.service import Service, running
from support.workbench import Workbench

from sparsegrad_server.audit import AuditedCatalog, needs_following, record_command
from sparsegrad_server.auth.principal import Principal
from sparsegrad_server.catalog import audit
from sparsegrad_server.catalog.audit import AuditQuery
from sparsegrad_server.context import RequestContext, answering, concern
from sparsegrad_shared.errors import Forbidden


def rows(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


@pytest.fixture
def admin(service: Service) -> Any:
    with service.client("team", "admin") as client:
        yield client


def test_a_change_is_there_with_who_what_and_the_request_s_id(
    service: Service, client: httpx.Client, admin: httpx.Client
) -> None:
    answer = client.post(
        "/v1/calibrations", json=manifest(), headers={"X-Request-Id": "from-a-test"}
    )
    (row,) = [row for row in rows(admin) if row["request_id"] == "from-a-test"]
    assert row["action"] == "POST /v1/calibrations"
    assert row["target"] == answer.json()["id"]
    assert (row["token_name"], row["namespace"], row["status"]) == ("tests", "team", 201)


def test_gradients_of_one_calibration_share_a_row(
    calibration: Calibration, admin: httpx.Client
) -> None:
    for index in (1, 2):
        assert put(calibration.client, calibration.id, index, dense_frame(index)).is_success
    uploads = [row for row in rows(admin) if row["target"] == calibration.id]
    assert [row["action"].split()[0] for row in uploads] == ["PUT", "POST"]


def test_a_row_is_added_once_a_request_however_often_it_writes(tmp_path: Path) -> None:
    catalog = AuditedCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    who = Principal("tests", "team", "write", "tok-1")
    said: list[str] = []
    with catalog.writing() as session:
        event.listen(session.get_bind(), "before_cursor_execute", lambda *all: said.append(all[2]))
    for request_id in ("first", "second"):
        current = RequestContext(request_id, {"method": "PUT", "path": "/v1/it"}, who)
        with answering(current):
            for _ in range(2):
                with catalog.writing():
                    concern("team", "cal-1", repeated=True)
        assert not needs_following(current, current.success)
    assert sum("INSERT INTO audit" in statement for statement in said) == 2
    with catalog.reading() as session:
        (entry,) = audit.entries(session, AuditQuery(), 10)
        assert (entry.target, entry.request_id) == ("cal-1", "first")
    catalog.close()


def test_looking_leaves_no_row(calibration: Calibration, admin: httpx.Client) -> None:
    before = rows(admin)
    calibration.client.get(f"/v1/calibrations/{calibration.id}")
    calibration.client.get("/v1/bases")
    assert rows(admin) == before


def test_a_refusal_for_want_of_rights_is_there_and_an_unknown_caller_is_not(
    service: Service, admin: httpx.Client
) -> None:
    with service.client(scope="read") as reader:
        refused = reader.post("/v1/calibrations", json=manifest())
    assert refused.json()["type"] == Forbidden.type_uri()
    (row,) = [
        row
        for row in rows(admin, refused=True)
        if row["request_id"] == refused.json()["request_id"]
    ]
    assert (row["status"], row["action"]) == (403, "POST /v1/calibrations")
    before = rows(admin)
    assert httpx.post(f"{service.url}/v1/calibrations", json=manifest()).status_code == 401
    assert rows(admin) == before


def test_a_change_that_is_undone_leaves_no_row_or_says_how_it_ended(
    service: Service, calibration: Calibration, admin: httpx.Client
) -> None:
    finish = f"/v1/calibrations/{open_calibration(calibration.client)}/finish"
    answer = calibration.client.post(finish)
    assert answer.status_code == 409  # nothing had arrived
    statuses = [row["status"] for row in rows(admin) if row["target"] in finish]
    assert 202 not in statuses


def test_a_namespace_s_administrator_reads_its_rows_and_the_operator_all(
    service: Service, client: httpx.Client, admin: httpx.Client
) -> None:
    open_calibration(client)
    with service.client("rivals", "admin") as rival, service.client("*", "admin") as operator:
        body = {"name": "eve", "namespace": "rivals"}
        assert rival.post("/v1/tokens", json=body).status_code == 201
        assert {row["namespace"] for row in rows(rival)} == {"rivals"}
        assert {row["namespace"] for row in rows(admin)} == {"team"}
        assert rival.get("/v1/audit", params={"namespace": "team"}).status_code == 403
        assert {row["namespace"] for row in rows(operator)} >= {"rivals", "team"}
        assert {row["namespace"] for row in rows(operator, namespace="team")} == {"team"}


def test_a_flood_of_refusals_is_cut_short_in_the_log(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, service.client(scope="read") as reader:
        for _ in range(80):
            assert reader.get("/v1/tokens").status_code == 403
        with service.catalog.reading() as session:
            written = session.execute(text("SELECT count(*) FROM audit")).scalar_one()
    assert 60 <= written < 80


def test_a_change_that_cannot_be_written_down_does_not_happen(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, service.client() as client:
        open_calibration(client)
        with service.catalog.writing() as session:
            session.execute(text("DROP TABLE audit"))
        assert client.post("/v1/calibrations", json=manifest()).status_code == 500
        with service.catalog.reading() as session:
            held = session.execute(text("SELECT count(*) FROM calibrations")).scalar_one()
    assert held == 1


def test_what_gc_freed_is_written_down_and_a_dry_run_is_not(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "data")
    with bench.catalog.writing() as session:
        record_command(session, "token create", "long ago", None)
        session.execute(text("UPDATE audit SET at = '2001-01-01'"))
    data = ["--data", str(tmp_path / "data")]
    command = [sys.executable, "-m", "sparsegrad_server", "gc", "--yes", *data]
    for options, expected in ((["--dry-run"], ["token create"]), ([], ["gc"]), ([], ["gc"])):
        ran = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        with bench.catalog.reading() as session:
            found = [entry.action for entry in audit.entries(session, AuditQuery(), 10)]
        assert found == expected


def test_it_is_the_same_on_both_databases(catalog_url: str, tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", catalog_url=catalog_url) as service,
        service.client() as writer,
        service.client(scope="admin") as admin,
        service.client("*", "metrics") as prometheus,
    ):
        calibration = open_calibration(writer)
        with ThreadPoolExecutor(4) as pool:
            stored = pool.map(lambda n: put(writer, calibration, n, dense_frame(n)), range(6))
            assert [answer.status_code for answer in stored] == [201] * 6
        assert writer.get("/v1/tokens").status_code == 403
        assert [(row["action"].split()[0], row["status"]) for row in rows(admin)] == [
            ("GET", 403), ("PUT", 201), ("POST", 201),
        ]  # fmt: skip
        assert 'sparsegrad_calibrations{state="open"} 1.0' in prometheus.get("/metrics").text
