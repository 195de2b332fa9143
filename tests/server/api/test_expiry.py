"""How long calibrations are kept, and which ones there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from support.gradients import dense_frame, manifest, open_calibration, put
from support.service import Service, running

from sparsegrad_server.catalog.tables import CalibrationRow
from sparsegrad_server.settings import Settings
from sparsegrad_shared.calibrations import CalibrationList, CalibrationStatus
from sparsegrad_shared.errors import CalibrationClosed, InvalidInput, UnknownCalibration

DAY = 86_400


def status(client: httpx.Client, calibration: str) -> CalibrationStatus:
    answer = client.get(f"/v1/calibrations/{calibration}")
    return CalibrationStatus.model_validate_json(answer.content)


def opened(client: httpx.Client, **members: Any) -> str:
    answer = client.post("/v1/calibrations", json=manifest() | members)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def days_kept(client: httpx.Client, **members: Any) -> float | None:
    calibration = status(client, opened(client, **members))
    if calibration.expires is None:
        return None
    return (calibration.expires - calibration.created) / timedelta(days=1)


def test_a_calibration_is_kept_for_ever_unless_somebody_says_how_long(
    client: httpx.Client,
) -> None:
    assert days_kept(client) is None
    assert days_kept(client, ttl_seconds=2 * DAY) == pytest.approx(2)
    for wrong in (0, -1, 1e12):
        answer = client.post("/v1/calibrations", json=manifest() | {"ttl_seconds": wrong})
        assert answer.json()["type"] == InvalidInput.type_uri()


def test_the_server_has_a_default_and_a_maximum(tmp_path: Path) -> None:
    limits = {"calibration_days": 7, "max_calibration_days": 30}
    with running(tmp_path / "both", **limits) as service, service.client() as client:
        assert days_kept(client) == pytest.approx(7)
        assert days_kept(client, ttl_seconds=30 * DAY) == pytest.approx(30)
        refused = client.post("/v1/calibrations", json=manifest() | {"ttl_seconds": 31 * DAY})
        assert refused.json()["type"] == InvalidInput.type_uri()
        assert "30 days at most" in refused.json()["detail"]
    with (
        running(tmp_path / "maximum", max_calibration_days=3) as service,
        service.client() as client,
    ):
        assert days_kept(client) == pytest.approx(3)
    with pytest.raises(ValidationError, match="calibration_days"):
        Settings(data=tmp_path, calibration_days=8, max_calibration_days=7)


def test_one_that_was_made_to_expire_takes_nothing_more(
    service: Service, client: httpx.Client
) -> None:
    calibration = open_calibration(client)
    assert put(client, calibration, 0, dense_frame(0)).status_code == 201
    for _ in range(2):  # the second changes nothing
        answer = client.delete(f"/v1/calibrations/{calibration}")
        assert CalibrationStatus.model_validate_json(answer.content).state == "expired"
    expires = status(client, calibration).expires
    assert expires is not None
    assert expires <= datetime.now(UTC)
    refused = [
        put(client, calibration, 1, dense_frame(1)),
        client.post(f"/v1/calibrations/{calibration}/finish"),
    ]
    assert {answer.json()["type"] for answer in refused} == {CalibrationClosed.type_uri()}
    assert "expired on 20" in refused[0].json()["detail"]
    with service.client("rivals") as rival:
        answer = rival.delete(f"/v1/calibrations/{calibration}")
        assert answer.json()["type"] == UnknownCalibration.type_uri()


def test_a_calibration_expires_by_itself_when_its_time_has_come(
    service: Service, client: httpx.Client
) -> None:
    calibration = opened(client, ttl_seconds=DAY)
    assert status(client, calibration).state == "open"
    with service.catalog.writing() as session:  # a day goes by
        row = session.get_one(CalibrationRow, calibration)
        row.created -= timedelta(days=1)
        row.expires = datetime.now(UTC)
    assert status(client, calibration).state == "expired"
    refused = put(client, calibration, 0, dense_frame(0))
    assert refused.json()["type"] == CalibrationClosed.type_uri()


@pytest.fixture
def several(tmp_path: Path) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A server with an open, a finished, an expired and a rival's calibration."""
    with running(tmp_path / "data") as service, service.client("*") as client:
        ids = [opened(client, name=f"team/number-{number}") for number in range(3)]
        put(client, ids[1], 0, dense_frame(0))
        assert client.post(f"/v1/calibrations/{ids[1]}/finish").status_code == 202
        client.delete(f"/v1/calibrations/{ids[2]}")
        ids.append(opened(client, name="rivals/secret"))
        with service.client("team", "read") as team:
            yield team, ids


def listed(client: httpx.Client, **query: object) -> CalibrationList:
    answer = client.get("/v1/calibrations", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return CalibrationList.model_validate_json(answer.content)


def test_calibrations_are_listed_by_state_and_name_in_pages(
    several: tuple[httpx.Client, list[str]],
) -> None:
    client, ids = several

    def found(**query: object) -> list[int]:
        return [ids.index(one.id) for one in listed(client, **query).calibrations]

    assert found() == [2, 1, 0]
    assert found(state="open") == [0]
    assert found(state="finished") == [1]
    assert found(state="expired") == [2]
    assert found(name="team/number-1") == [1]
    assert found(name="rivals/secret") == []
    first = listed(client, limit=2)
    assert [ids.index(one.id) for one in first.calibrations] == [2, 1]
    assert found(limit=2, after=first.next) == [0]
    assert listed(client, limit=3).next is None
    summary = listed(client, state="finished").calibrations[0]
    assert (summary.name, summary.created_by) == ("team/number-1", "tests")
    assert summary.job is not None
    for wrong in ({"state": "lost"}, {"after": "x"}, {"limit": 0}):
        answer = client.get("/v1/calibrations", params=wrong)
        assert answer.json()["type"] == InvalidInput.type_uri()


def test_tags_of_a_calibration_are_checked(client: httpx.Client) -> None:
    assert opened(client, tags=["good", "words"])
    for wrong in (["two words"], ["x"] * 65, [""]):
        answer = client.post("/v1/calibrations", json=manifest() | {"tags": wrong})
        assert answer.json()["type"] == InvalidInput.type_uri()
